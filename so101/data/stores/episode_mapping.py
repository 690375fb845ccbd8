"""What programs read of episodes: the tables of `so101.data.stores.episode_table` as mappings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from so101.data.bags.recovery import RecoveredEpisode
from so101.data.labels.label_table import history_mapping, label_mapping
from so101.data.labels.labels import last_words
from so101.data.stores.store_entry import EpisodeEntry
from so101.data.stores.store_stats import outcome_of
from so101.data.stores.verification import VerifiedEpisode
from so101.episode import SOURCE_CODES, Episode
from so101.events import LabelEvent


def entry_mapping(entry: EpisodeEntry) -> dict[str, Any]:
    """Return what a listing says of an episode."""
    return {
        **asdict(entry.facts),
        "outcome": outcome_of(entry),
        "rater": entry.rater,
        "duration_s": entry.duration_s,
        "messages": entry.messages,
        "path": str(entry.path),
        "problem": entry.problem,
    }


def episode_mapping(
    entry: EpisodeEntry, episode: Episode, history: Sequence[LabelEvent]
) -> dict[str, Any]:
    """Return everything about one episode but its recorded columns."""
    names = {code: source.value for source, code in SOURCE_CODES.items()}
    acted = Counter(names[code] for code in episode.sources.tolist())
    return {
        **entry_mapping(entry),
        "steps": len(episode),
        "reward": float(episode.rewards.sum()),
        "in_control": dict(acted),
        "interventions": [list(span) for span in episode.interventions()],
        "chunks": len(episode.planned),
        "gaps": 0 if episode.is_gap is None else int(episode.is_gap.sum()),
        "values": {name: column.tolist() for name, column in episode.values.items()},
        "labels": [label_mapping(label) for label in last_words(history)],
        "history": history_mapping(history),
        "streams": [asdict(report) for report in episode.reports],
    }


def verified_mapping(result: VerifiedEpisode) -> dict[str, Any]:
    """Return what a check of an episode found."""
    return {
        "path": str(result.entry.path),
        "messages": result.messages,
        "topics": result.types,
        "problems": list(result.problems),
    }


def recovered_mapping(result: RecoveredEpisode) -> dict[str, Any]:
    """Return what became of an unfinished recording; no path means quarantine."""
    return {
        "directory": result.directory,
        "path": None if result.path is None else str(result.path),
        "messages": result.messages,
        "reason": result.reason,
    }
