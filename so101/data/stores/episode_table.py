"""What a person reads about episodes: tables, and selections such as ``1,4,5-7``.

Pure text: prints nothing and changes nothing.
"""

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from so101.arrays import FloatArray
from so101.data.bags.recovery import RecoveredEpisode
from so101.data.labels.label_table import said
from so101.data.stores.store_entry import EpisodeEntry
from so101.data.stores.store_stats import OUTCOMES, PhaseStats, outcome_of, room_of
from so101.data.stores.verification import VerifiedEpisode
from so101.data.text_table import ABSENT, align, clip, printable
from so101.episode import SOURCE_CODES, Episode
from so101.errors import ConfigError
from so101.events import LabelEvent

_STREAM_HEADER = (
    *("stream", "messages", "Hz", "mean age ms", "max age ms"),
    *("skewed", "missing", "dropped", "gaps", "longest gap ms"),
)
_WIDTH = 96
_WALL_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-.")
_NUMBERS = frozenset(
    {
        "#",
        "seconds",
        "MB",
        "messages",
        "Hz",
        "mean age ms",
        "max age ms",
        "skewed",
        "missing",
        "dropped",
    }
    | {"gaps", "longest gap ms", "episodes", "minutes", "median success s", *OUTCOMES}
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
            raise ConfigError(
                f"selection {text!r}: {part.strip()!r} is neither a number nor a range such as "
                "5-7, nor is an episode called so"
            )
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


def format_list(
    entries: Sequence[EpisodeEntry],
    numbers: Sequence[int] = (),
    room: Callable[[Path], int] = room_of,
) -> str:
    """Return a numbered table of episodes, its totals and what is wrong below.

    Args:
        entries: The episodes.
        numbers: Of each of them, where they are a part of a store; else they count from 1.
        room: Tells how much room a bag takes [bytes].
    """
    if not entries:
        return "no episodes"
    rows = [("#", "episode", "time", "phase", "outcome", "said by", "seconds", "MB")]
    rooms = [room(entry.path) for entry in entries]
    numbers = numbers or range(1, len(entries) + 1)
    for number, entry, size in zip(numbers, entries, rooms, strict=True):
        facts = entry.facts
        row = (
            clip(facts.id, 24),
            recorded_at(entry)[5:16],
            clip(facts.phase, 14),
            outcome_of(entry),
            clip(said_by(entry), 10),
            f"{entry.duration_s:.1f}",
            f"{size / 1e6:.1f}",
        )
        rows.append((str(number), *row))
    total_s = sum(entry.duration_s for entry in entries)
    outcomes = _counted(outcome_of(entry) for entry in entries)
    totals = f"{len(entries)} episodes, {total_s:.1f} s, {sum(rooms) / 1e6:.1f} MB: {outcomes}"
    tasks = _counted(repr(printable(entry.facts.words)) for entry in entries if entry.facts.words)
    lines = [align(rows, _NUMBERS), "", totals, *([f"task: {tasks}"] if tasks else [])]
    lines += [printable(f"{e.facts.id}: {e.problem}") for e in entries if e.problem]
    return "\n".join(lines)


def format_inner(entries: Sequence[EpisodeEntry]) -> str:
    """Return a table of the episodes of one bag, and how one of them is named."""
    rows = [("#", "episode", "phase", "outcome", "said by", "seconds")]
    for number, entry in enumerate(entries, 1):
        row = (clip(entry.facts.id, 40), clip(entry.facts.phase, 16), outcome_of(entry))
        rows.append((str(number), *row, said_by(entry), f"{entry.duration_s:.1f}"))
    return f"{align(rows, _NUMBERS)}\n\n{len(entries)} episodes in one bag; --of ID names one"


def recorded_at(entry: EpisodeEntry) -> str:
    """Return when an episode was recorded, ``YYYY-MM-DD HH:MM:SS``, as its directory says."""
    match = _WALL_TIME.match(entry.path.name)
    return "{}-{}-{} {}:{}:{}".format(*match.groups()) if match else ABSENT


def said_by(entry: EpisodeEntry) -> str:
    """Return whose word an episode's outcome is."""
    if entry.problem or entry.outcome is None:
        return ABSENT
    return entry.rater or "recorder"


def _counted(words: Iterable[str]) -> str:
    """Return each word and how often it occurs, the most frequent first."""
    return ", ".join(f"{count} {word}" for word, count in Counter(words).most_common())


def format_episode(entry: EpisodeEntry, episode: Episode) -> str:
    """Return everything about one episode: facts, who acted, streams, labels."""
    names = {code: source.value for source, code in SOURCE_CODES.items()}
    acted = Counter(names[code] for code in episode.sources.tolist())
    facts = [
        (name, f"{value:.4g}" if isinstance(value, float) else str(value))
        for name, value in vars(episode.facts).items()
    ]
    outcome = episode.outcome.value if episode.outcome else ABSENT
    facts += [
        ("recorded", recorded_at(entry)),
        ("outcome", f"{outcome}, said by {said_by(entry)}" if episode.outcome else outcome),
        ("path", str(entry.path)),
        ("steps", f"{len(episode)} ({episode.duration_s:.2f} s)"),
        ("reward", f"{episode.rewards.sum():.3f}"),
        ("in control", ", ".join(f"{who} {steps}" for who, steps in acted.items())),
        ("chunks", str(len(episode.planned))),
        ("gaps", str(0 if episode.is_gap is None else int(episode.is_gap.sum()))),
        *((f"label {name}", f"{value:g}") for name, value in episode.labels.items()),
        *((f"values {name}", _spread(column)) for name, column in episode.values.items()),
    ]
    streams = [_STREAM_HEADER]
    streams += [
        (
            report.stream,
            str(report.messages),
            f"{report.rate_hz:.1f}",
            f"{report.mean_age_s * 1e3:.1f}",
            f"{report.max_age_s * 1e3:.1f}",
            str(report.skewed),
            str(report.missing),
            str(report.dropped),
            str(report.gaps),
            f"{report.longest_gap_s * 1e3:.0f}",
        )
        for report in episode.reports
    ]
    return f"{align(facts)}\n\n{align(streams, _NUMBERS)}"


def _spread(column: FloatArray) -> str:
    """Return how many ticks have a number, and which ones."""
    known = column[np.isfinite(column)]
    if not len(known):
        return f"at 0 of {len(column)} ticks"
    return (
        f"at {len(known)} of {len(column)} ticks, {known.min():g} to {known.max():g}, "
        f"mean {known.mean():.3g}"
    )


def format_labelled(
    before: Sequence[EpisodeEntry], after: Sequence[EpisodeEntry], labels: Sequence[LabelEvent]
) -> str:
    """Return a table of what was just said, and how the episodes' outcomes changed by it.

    Args:
        before: The episodes as they were.
        after: The same as they are now.
        labels: What was said of them, in their order.
    """
    rows = [("episode", "who", "outcome", "said")]
    places = {entry.facts.id: place for place, entry in enumerate(before)}
    for label in labels:
        was, now = (entries[places[label.episode]] for entries in (before, after))
        outcome = outcome_of(now)
        change = "" if outcome_of(was) == outcome else f", was {outcome_of(was)}"
        rows.append((label.episode, label.rater, f"{outcome}{change}", said(label)))
    return align(rows)


def format_verified(results: Sequence[VerifiedEpisode]) -> str:
    """Return a table of the checked episodes; below it every problem and what such a bag holds."""
    if not results:
        return "no episodes"
    rows = [("#", "episode", "messages", "verdict")]
    found = []
    for number, result in enumerate(results, 1):
        problems = result.problems
        verdict = f"{len(problems)} problem{'s' * (len(problems) > 1)}" if problems else "ok"
        rows.append((str(number), result.entry.path.name, str(result.messages), verdict))
        at = str(result.entry.path)
        shorter = (problem.removeprefix(f"{at}: ").removeprefix(f"{at}/") for problem in problems)
        found += [f"{number}  {printable(problem)}" for problem in shorter]
        if problems and result.types and result.entry.is_foreign:
            types = [f"{topic} ({kind})" for topic, kind in result.types.items()]
            found += _wrap(f"{number}  ", "holds ", types)
    bad = sum(bool(result.problems) for result in results)
    totals = f"{len(results)} episodes checked, {bad} with problems"
    return "\n".join([align(rows, _NUMBERS), "", *found, *([""] if found else []), totals])


def _wrap(head: str, verb: str, items: Sequence[str]) -> list[str]:
    """Return items in lines that fit a terminal, none of them torn apart, behind a head."""
    whole = [printable(item).replace(" ", "\xa0") for item in items]
    lines = textwrap.wrap(
        verb + ", ".join(whole), _WIDTH, break_long_words=False, break_on_hyphens=False
    )
    room = " " * len(head)
    return [
        f"{room if place else head}{line}".replace("\xa0", " ") for place, line in enumerate(lines)
    ]


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
    return f"{align(rows, _NUMBERS)}\n\n{episodes} episodes, {minutes} minutes, {room} MB"


def format_recovered(results: Sequence[RecoveredEpisode]) -> str:
    """Return a table of the unfinished recordings that were found."""
    if not results:
        return "nothing to recover"
    rows = [("recording", "became", "messages", "what was wrong")]
    for result in results:
        where = "quarantine" if result.path is None else result.path.name
        reason = result.reason.rpartition(f"{result.directory}: ")[2]
        rows.append((result.directory, where, str(result.messages), reason))
    return align(rows, _NUMBERS)
