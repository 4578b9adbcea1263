# SPDX-License-Identifier: MIT
"""The commands of ffalloc that are Python: views.py FILE COMMAND [ARGUMENT...].

Started by the ffalloc command, whose file FILE is.
"""

import importlib
import signal
import sys

from common import Failure, say

COMMANDS = {
    "map": "map_view",
    "report": "report_view",
    "export": "export_view",
    "sweep": "sweep",
    "dump": "dump",
    "doctor": "doctor",
}


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        module = importlib.import_module(COMMANDS[sys.argv[2]])
        status = module.main(sys.argv[3:])
        sys.stdout.flush()
        return status
    except ModuleNotFoundError as error:
        say(f"{error.name} is not installed for /usr/bin/python3: see README.md, Debian's python3-...")
    except Failure as failure:
        if str(failure):
            say(failure)
        return failure.status
    except OSError as error:
        name = f"{error.filename}: " if error.filename else "standard output: "
        say(f"{name}{error.strerror}")
    except KeyboardInterrupt:
        return 130
    return 125


if __name__ == "__main__":
    sys.exit(main())
