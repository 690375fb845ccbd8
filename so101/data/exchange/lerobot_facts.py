"""What an export says about its episodes besides their columns: ``meta/so101.json``.

Keyed by the id that every step carries, so that it survives when episodes are taken out, merged
or numbered anew by LeRobot's own tools. Our own columns are untrusted all the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from so101.data.bags.bag_writer import SHA256_KEY
from so101.data.bags.custom_data import (
    IS_LOCK_STEP,
    OUTCOME,
    PUBLISHED,
    facts_from_text,
    facts_to_text,
    outcome_from_text,
)
from so101.data.episodes.episode_parts import Part
from so101.data.stores.store_entry import EpisodeEntry
from so101.episode import EpisodeFacts, Outcome
from so101.errors import BagError
from so101.events import LabelEvent
from so101.version import VERSION

FILE_NAME = "so101.json"
_SCHEMA_VERSION = 1
_OF_THE_BAG = frozenset(
    {OUTCOME, SHA256_KEY, IS_LOCK_STEP, *(f.name for f in fields(EpisodeFacts))}
)


@dataclass(frozen=True, kw_only=True)
class ToldEpisode:
    """What is known about an episode of a dataset.

    Attributes:
        facts: Its facts.
        recorded: How it ended when it was recorded; None when nobody said.
        labels: The last word of each rater.
        custom_data: Further text by key.
    """

    facts: EpisodeFacts
    recorded: Outcome | None = None
    labels: tuple[LabelEvent, ...] = ()
    custom_data: Mapping[str, str]


def part_facts(entry: EpisodeEntry, labels: Sequence[LabelEvent], part: Part) -> dict[str, Any]:
    """Return what the file says about a part of an episode."""
    episode, custom = part.episode, entry.custom_data
    recorded = Outcome.TRUNCATED.value if part.is_cut else custom.get(OUTCOME, "")
    return {
        "facts": facts_to_text(episode.facts),
        "recorded_outcome": recorded,
        "outcome": "" if episode.outcome is None else episode.outcome.value,
        "part": part.number,
        "parts": part.count,
        "labels": [] if part.is_cut else [_said(one, episode.facts.id) for one in labels],
        "custom_data": {
            key: value
            for key, value in custom.items()
            if key not in _OF_THE_BAG and not key.startswith(PUBLISHED)
        },
    }


def facts_file(told: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the content of the file, for episodes by id."""
    values = {"schema_version": _SCHEMA_VERSION, "software": VERSION, "episodes": told}
    return json.dumps(values, indent=1) + "\n"


def read_told(extra: Mapping[str, Any], episode: str, where: str) -> ToldEpisode | None:
    """Return what the file says about an episode, or None when it does not know it.

    Args:
        extra: Content of the file; empty when there is none.
        episode: The id that its steps carry.
        where: The dataset, for error messages.

    Raises:
        BagError: The file is of a later version or broken.
    """
    if not extra:
        return None
    version = extra.get("schema_version")
    if version != _SCHEMA_VERSION:
        raise BagError(f"{where}: {FILE_NAME}: schema version {version!r}")
    try:
        values = extra["episodes"].get(episode)
        if values is None:
            return None
        text = {str(key): str(value) for key, value in values["facts"].items()}
        custom = {str(key): str(value) for key, value in values["custom_data"].items()}
        return ToldEpisode(
            facts=facts_from_text(text, episode),
            recorded=outcome_from_text({OUTCOME: values["recorded_outcome"]}, where),
            labels=tuple(_label(one) for one in values["labels"]),
            custom_data=custom,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BagError(f"{where}: {FILE_NAME}: episode {episode!r}: {error!r}") from error


def _said(label: LabelEvent, episode: str) -> dict[str, Any]:
    return {**asdict(label), "episode": episode}


def _label(values: Mapping[str, Any]) -> LabelEvent:
    return LabelEvent(**{**values, "reasons": tuple(values["reasons"])})
