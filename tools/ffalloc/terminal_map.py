# SPDX-License-Identifier: MIT
"""A map of memory in a terminal, which the command and gdb show alike."""

import shutil

LINES, MOST_LINE_CELLS = 16, 64
ASCII = ".-+*#"  # free, three of what is used in part, used


def shade(used, characters):
    """A cell's character, `used` of 255: empty and full are exact, the three between are thirds."""
    if used in (0, 255):
        return characters[-1 if used else 0]
    return characters[1 + min(2, used * 3 // 255)]


def line_of(cells, characters):
    return "".join(shade(used, characters) for used in cells)


def line_cells(columns, address_width):
    """The cells of a line in a terminal, beside an address: a round number of them."""
    return max(8, min(MOST_LINE_CELLS, (columns - address_width) // 8 * 8))


def legend(characters):
    free = "blank" if characters[0] == " " else characters[0]
    return f"{characters[-1]} used, {''.join(characters[1:-1])} in part, {free} free"


def columns():
    """Of the terminal; 80 if there is none."""
    return shutil.get_terminal_size().columns
