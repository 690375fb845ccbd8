"""What a person reads about episodes: tables, and selections such as ``1,4,5-7``.

Pure text: prints nothing and changes nothing.
"""

import re
from collections import Counter
from collections.abc import Sequence

from so101.data.recovery import RecoveredEpisode
from so101.data.store_entry import EpisodeEntry
from so101.data.store_stats import OUTCOMES, PhaseStats, outcome_of
from so101.data.verification import VerifiedEpisode
from so101.episode import SOURCE_CODES, Episode
from so101.errors import ConfigError

_STREAM_HEADER = (
    *("stream", "messages", "Hz", "mean age ms", "max age ms"),
    *("missing", "dropped", "gaps", "longest gap ms"),
)
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


def parse_selection(text: str, count: int) -> tuple[int, ...]:
    """Read a selection of numbers from 1 to ``count``: ``all``, or parts such as ``1,4,5-7``.

    Returns:
        Places from 0, ascending, each once.

    Raises:
        ConfigError: A part is not a number or a range, or is out of range.
    """
    if text.strip() == "all":
        return tuple(range(count))
    chosen: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ConfigError(f"selection {text!r}: {part!r} is neither a number nor a range")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= count:
            raise ConfigError(f"selection {text!r}: {part.strip()} is outside 1..{count}")
        chosen.update(range(first - 1, last))
    return tuple(sorted(chosen))


def select(entries: Sequence[EpisodeEntry], text: str) -> list[EpisodeEntry]:
    """Return the episodes that a selection of list numbers, or one id, names.

    Raises:
        ConfigError: It names none.
    """
    named = [entry for entry in entries if text in (entry.facts.id, entry.path.name)]
    if named:
        return named
    return [entries[place] for place in parse_selection(text, len(entries))]


def format_list(entries: Sequence[EpisodeEntry]) -> str:
    """Return a numbered table of episodes, its totals below."""
    if not entries:
        return "no episodes"
    header = ("#", "episode", "phase", "source", "outcome", "seconds", "task")
    rows = [header]
    for number, entry in enumerate(entries, 1):
        facts = entry.facts
        outcome = outcome_of(entry)
        seconds = f"{entry.duration_s:.1f}"
        row = (str(number), facts.id, facts.phase, facts.source, outcome, seconds, facts.task)
        rows.append(row)
    counts = Counter(row[4] for row in rows[1:])
    total_s = sum(entry.duration_s for entry in entries)
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    lines = [_align(rows), "", f"{len(entries)} episodes, {total_s:.1f} s: {said}"]
    lines += [f"{entry.facts.id}: {entry.problem}" for entry in entries if entry.problem]
    return "\n".join(lines)


def format_episode(entry: EpisodeEntry, episode: Episode) -> str:
    """Return everything about one episode: facts, who acted, streams, labels."""
    names = {code: source.value for source, code in SOURCE_CODES.items()}
    acted = Counter(names[code] for code in episode.sources.tolist())
    facts = [(name, str(value)) for name, value in vars(episode.facts).items()]
    outcome = episode.outcome.value if episode.outcome else "-"
    facts += [
        ("outcome", outcome),
        ("path", str(entry.path)),
        ("steps", f"{len(episode)} ({episode.duration_s:.2f} s)"),
        ("reward", f"{episode.rewards.sum():.3f}"),
        ("in control", ", ".join(f"{who} {steps}" for who, steps in acted.items())),
        ("chunks", str(len(episode.planned))),
        ("gaps", str(0 if episode.is_gap is None else int(episode.is_gap.sum()))),
        *((f"label {name}", f"{value:g}") for name, value in episode.labels.items()),
    ]
    streams = [_STREAM_HEADER]
    streams += [
        (
            report.stream,
            str(report.messages),
            f"{report.rate_hz:.1f}",
            f"{report.mean_age_s * 1e3:.1f}",
            f"{report.max_age_s * 1e3:.1f}",
            str(report.missing),
            str(report.dropped),
            str(report.gaps),
            f"{report.longest_gap_s * 1e3:.0f}",
        )
        for report in episode.reports
    ]
    return f"{_align(facts)}\n\n{_align(streams)}"


def format_verified(results: Sequence[VerifiedEpisode]) -> str:
    """Return one line per checked episode, and one per problem."""
    lines = []
    for result in results:
        verdict = f"{len(result.problems)} problems" if result.problems else "ok"
        lines.append(f"{result.entry.path.name}: {result.messages} messages, {verdict}")
        lines += [f"  {problem}" for problem in result.problems]
        if result.problems and result.types:
            lines.append(f"  holds {', '.join(f'{t} ({k})' for t, k in result.types.items())}")
    bad = sum(bool(result.problems) for result in results)
    return "\n".join([*lines, f"{len(results)} episodes checked, {bad} with problems"])


def format_stats(stats: Sequence[PhaseStats]) -> str:
    """Return a table of a store's episodes by phase and source, its totals below."""
    if not stats:
        return "no episodes"
    used = [name for name in OUTCOMES if any(name in one.outcomes for one in stats)]
    rows = [("phase", "source", "episodes", *used, "minutes", "median success s", "MB")]
    for one in stats:
        success = "-" if one.median_success_s is None else f"{one.median_success_s:.1f}"
        counts = (str(one.outcomes.get(name, 0)) for name in used)
        room = f"{one.size_bytes / 1e6:.1f}"
        minutes = f"{one.duration_s / 60:.1f}"
        rows.append((one.phase, one.source, str(one.episodes), *counts, minutes, success, room))
    episodes = sum(one.episodes for one in stats)
    minutes = f"{sum(one.duration_s for one in stats) / 60:.1f}"
    room = f"{sum(one.size_bytes for one in stats) / 1e6:.1f}"
    return f"{_align(rows)}\n\n{episodes} episodes, {minutes} minutes, {room} MB"


def format_recovered(results: Sequence[RecoveredEpisode]) -> str:
    """Return one line per unfinished recording that was found."""
    if not results:
        return "nothing to recover"
    lines = []
    for result in results:
        where = "quarantine" if result.path is None else result.path.name
        lines.append(f"{result.directory} -> {where}: {result.messages} messages, {result.reason}")
    return "\n".join(lines)


def _align(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)) for r in rows)
    return "\n".join(line.rstrip() for line in lines)
