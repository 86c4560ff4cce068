"""Tables of Markdown."""

from collections.abc import Sequence


def line(cells: Sequence[str]) -> str:
    """Return a line of a table; a bar in a cell does not end it."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
