# SPDX-License-Identifier: MIT
"""The commands of ffalloc that are Python: views.py FILE COMMAND [ARGUMENT...].

Started by the ffalloc command, whose file FILE is.
"""

import importlib
import os
import signal
import sys

from common import Failure, say

COMMANDS = {
    "why": "why_view",
    "map": "map_view",
    "report": "report_view",
    "export": "export_view",
    "sweep": "sweep",
    "dump": "dump",
    "doctor": "doctor",
}

# Set for this Python by the ffalloc command, and not for the programs that it starts.
OWN_VARIABLES = ("PYTHONDONTWRITEBYTECODE", "PYTHONCOERCECLOCALE")

# Debian's package of each module that is not Python's own.
PACKAGES = {"cairo": "python3-cairo", "jinja2": "python3-jinja2", "elftools": "python3-pyelftools"}


def main():
    for name in OWN_VARIABLES:
        os.environ.pop(name, None)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.stdout.reconfigure(errors="replace")
    try:
        module = importlib.import_module(COMMANDS[sys.argv[2]])
        status = module.main(sys.argv[3:])
        sys.stdout.flush()
        return status
    except ModuleNotFoundError as error:
        package = PACKAGES.get(error.name.split(".")[0], error.name)
        say(f"{package} is not installed, which ffalloc {sys.argv[2]} needs")
    except Failure as failure:
        if str(failure):
            say(failure)
        return failure.status
    except OSError as error:
        name = f"{error.filename}: " if error.filename else "standard output: "
        say(f"{name}{error.strerror}")
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # no input, however odd, is answered by a traceback
        say(f"{sys.argv[2]}: cannot make sense of this input ({type(error).__name__}: {error})"[:300])
    return 125


if __name__ == "__main__":
    sys.exit(main())
