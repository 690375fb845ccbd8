"""Facts about an episode as the text that a bag's custom_data carries, and back."""

from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from so101.episode import EpisodeFacts, Outcome
from so101.errors import BagError
from so101.events import Event, decode, encode

_KINDS: Mapping[str, Any] = {f.name: f.type for f in fields(EpisodeFacts)}
OUTCOME = "outcome"
IS_LOCK_STEP = "is_lock_step"
CALIBRATION = "calibration_sha256"
SOFTWARE = "software_version"
SCHEMA_VERSION_KEY = "schema_version"
SCHEMA_VERSION = 1
"""Of what a bag of this project says about itself. Bags that name no version are of the first."""
PROMPT = "lerobot.operator_prompt"
"""Key under which rosetta's recorder says what the robot was asked to do."""
PUBLISHED = "published/"
"""Prefix of the number of messages that each topic's publishers sent during the episode."""


def facts_to_text(facts: EpisodeFacts) -> dict[str, str]:
    """Return the facts as text by key, and the version of what the keys mean."""
    text = {f.name: encode(getattr(facts, f.name)) for f in fields(EpisodeFacts)}
    return {**text, SCHEMA_VERSION_KEY: str(SCHEMA_VERSION)}


def facts_from_text(values: Mapping[str, str], default_id: str) -> EpisodeFacts:
    """Read the facts, the inverse of `facts_to_text`; absent ones keep their defaults.

    A bag of rosetta has no facts of ours; its recorder's prompt is the instruction.

    Args:
        values: Text by key.
        default_id: Episode id when the text, of a foreign bag, names none.

    Raises:
        BagError: A value is not of its kind, or the text is of a later schema version.
    """
    check_schema_version(values, default_id)
    found: dict[str, Any] = {"id": default_id}
    for name, kind in _KINDS.items():
        if name in values:
            found[name] = values[name] if kind is str else _decoded(name, values[name], kind)
    if PROMPT in values and not (found.get("task") or found.get("instruction")):
        found["instruction"] = values[PROMPT]
    return EpisodeFacts(**found)


@lru_cache(maxsize=4096)  # ten thousand episodes of a store say the same few things
def _decoded(key: str, text: str, kind: type) -> Any:
    return decode(Event(stamp_ns=0, name="facts", values={key: text}), key, kind)


def default_id(path: Path) -> str:
    """Return the id of an episode whose bag, a directory or a lone file, does not name one."""
    return path.stem if path.suffix in (".mcap", ".db3") else path.name


def check_schema_version(values: Mapping[str, str], where: str) -> None:
    """Refuse text that a later version of this project wrote.

    Raises:
        BagError: Its schema version is not known.
    """
    said = values.get(SCHEMA_VERSION_KEY, "1")
    if not (said.isascii() and said.isdecimal() and 1 <= len(said) <= 9 and int(said) >= 1):
        raise BagError(f"{where}: {SCHEMA_VERSION_KEY} {said[:60]!r} is no version")
    if int(said) > SCHEMA_VERSION:
        raise BagError(
            f"{where}: {SCHEMA_VERSION_KEY} {said} is later than {SCHEMA_VERSION}, the "
            "newest that is known: update this software to read it"
        )


def outcome_from_text(values: Mapping[str, str], where: str) -> Outcome | None:
    """Read the outcome; None when there is none.

    Raises:
        BagError: It is not an outcome.
    """
    text = values.get(OUTCOME, "")
    if not text:
        return None
    try:
        return Outcome(text)
    except ValueError:
        allowed = ", ".join(outcome.value for outcome in Outcome)
        raise BagError(f"{where}: outcome {text!r} is not one of {allowed}") from None


def published_from_text(values: Mapping[str, str], where: str) -> dict[str, int]:
    """Read how many messages each topic's publishers sent, by relative topic name."""
    event = Event(stamp_ns=0, name=where, values=values)
    keys = [key for key in values if key.startswith(PUBLISHED)]
    return {key.removeprefix(PUBLISHED): decode(event, key, int) for key in keys}
