"""Who ends first where a machine's memory runs out: the learner, never what holds an arm."""

from pathlib import Path

SCORE = Path("/proc/self/oom_score_adj")
FIRST = 800
"""Of 1000; what a process adds to its share of the memory, in thousandths, when one must go."""


def go_first(score: Path = SCORE) -> None:
    """Ask Linux to end this process, and what it starts, before others.

    A learner that is killed comes back and loses nothing that was saved. Anybody may ask for this
    of himself, so whatever refuses it is broken.

    Args:
        score: The kernel's file; a test passes its own.

    Raises:
        OSError: It cannot be written.
    """
    score.write_text(f"{FIRST}\n", encoding="ascii")
