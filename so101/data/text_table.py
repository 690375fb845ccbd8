"""Rows of text as a table for a terminal: aligned, never wider than its columns may be.

What comes from a bag is shown, not obeyed: a control character in it becomes a question mark.
"""

from collections.abc import Collection, Sequence

ABSENT = "-"


def align(rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> str:
    """Return rows as lines, each column as wide as its widest cell.

    Args:
        rows: All of the same length; the first may be the header.
        right: Header cells of the columns of numbers, which end at the right.
    """
    texts = [[printable(cell) or ABSENT for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    is_right = [cell in right for cell in texts[0]]
    lines = []
    for row in texts:
        cells = zip(row, widths, is_right, strict=True)
        lines.append("  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in cells).rstrip())
    return "\n".join(lines)


def clip(text: str, width: int) -> str:
    """Return a text that is no longer than a width; two dots stand for what is left out."""
    return text if len(text) <= width else f"{text[: width - 2]}.."


def printable(text: str) -> str:
    """Return a text on one line without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
