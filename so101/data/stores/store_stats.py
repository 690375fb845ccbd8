"""What a store holds, counted: outcomes, time and room on the disk by phase and source."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from so101.data.stores.store_entry import EpisodeEntry
from so101.episode import Outcome
from so101.statistics import median

UNUSABLE = "unusable"
UNLABELLED = "unlabelled"
OUTCOMES = (*(outcome.value for outcome in Outcome), UNLABELLED, UNUSABLE)
"""Everything that may be said of an episode's outcome, in the order of the columns."""


@dataclass(frozen=True, kw_only=True)
class PhaseStats:
    """The episodes of one phase and source.

    Attributes:
        phase: Phase of the session.
        source: Who acted in them, by their facts.
        episodes: How many there are.
        outcomes: How many of each outcome; what does not occur is absent.
        duration_s: All of them together [s].
        median_success_s: Median length of the successes [s]; None without any.
        size_bytes: Room they take [bytes]; what is linked from elsewhere takes none.
    """

    phase: str
    source: str
    episodes: int
    outcomes: Mapping[str, int]
    duration_s: float
    median_success_s: float | None
    size_bytes: int

    def to_mapping(self) -> dict[str, Any]:
        """Return the numbers by name, as JSON takes them."""
        return asdict(self)


def outcome_of(entry: EpisodeEntry) -> str:
    """Return what a listing says of an episode's outcome, one of `OUTCOMES`."""
    if entry.problem:
        return UNUSABLE
    return entry.outcome.value if entry.outcome else UNLABELLED


def room_of(path: Path) -> int:
    """Return the room a bag takes [bytes]; links to other stores take none."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.lstat().st_size for file in files if file.is_file() and not _is_linked(file))


def _is_linked(file: Path) -> bool:
    return file.is_symlink() or file.parent.is_symlink()


def store_stats(
    entries: Iterable[EpisodeEntry], room: Callable[[EpisodeEntry], int] | None = None
) -> tuple[PhaseStats, ...]:
    """Count episodes by phase and source, in the order in which these first occur.

    Args:
        entries: The episodes.
        room: Tells how much room an episode takes [bytes]; None for what its bag takes here.
    """
    room = room or (lambda entry: room_of(entry.path))
    groups: dict[tuple[str, str], list[EpisodeEntry]] = {}
    for entry in entries:
        groups.setdefault((entry.facts.phase, entry.facts.source), []).append(entry)
    return tuple(_count(*key, group, room) for key, group in groups.items())


def _count(
    phase: str,
    source: str,
    entries: Sequence[EpisodeEntry],
    room: Callable[[EpisodeEntry], int],
) -> PhaseStats:
    found = Counter(map(outcome_of, entries))
    successes = [e.duration_s for e in entries if outcome_of(e) == Outcome.SUCCESS.value]
    return PhaseStats(
        phase=phase,
        source=source,
        episodes=len(entries),
        outcomes={name: found[name] for name in OUTCOMES if found[name]},
        duration_s=sum(entry.duration_s for entry in entries),
        median_success_s=median(successes),
        size_bytes=sum(room(entry) for entry in entries),
    )
