"""What people say of episodes while a session runs: from the label topic into the store, and back.

The sidecar files are the one truth: a label given on the topic is written beside its bag, and what
``so101 episodes label`` wrote there counts the same.
"""

import math
from pathlib import Path

from reward_node.past import past_episodes
from reward_node.requests import PastEpisode
from so101.data.stores.episode_store import EpisodeStore
from so101.errors import So101Error
from so101.events import LabelEvent


class Ratings:
    """Labels of one store."""

    def __init__(self, store: Path | None) -> None:
        """Look at a store; None when nothing is recorded, and then nothing can be rated."""
        self._store = store
        self._labels: list[LabelEvent] = []

    def take(self, label: LabelEvent) -> None:
        """Take a label from the topic; `write` writes it."""
        self._labels.append(label)

    def write(self, unsaved: str) -> list[str]:
        """Write what was said beside the bags; return what could not be.

        Args:
            unsaved: Id of the episode that runs or is being saved: its labels wait for its bag.
        """
        labels, self._labels = self._labels, []
        problems = []
        for label in labels:
            if label.episode == unsaved:
                self._labels.append(label)
            elif problem := self._write(label):
                problems.append(f"label of {label.episode!r} by {label.rater!r}: {problem}")
        return problems

    def read(self) -> tuple[PastEpisode, ...]:
        """Return every episode as people see it now."""
        return past_episodes(self._store)

    def _write(self, label: LabelEvent) -> str:
        """Write one label; return why it cannot be, empty when it was."""
        if self._store is None:
            return "there is no store to write it to"
        if label.advantage is not None and not math.isfinite(label.advantage):
            return f"advantage {label.advantage} is not finite"
        try:
            EpisodeStore(self._store).add_label(label)
        except So101Error as error:
            return str(error)
        return ""
