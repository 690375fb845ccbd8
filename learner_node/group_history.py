"""What a store says of the groups so far: who was shown what, which rollouts count, how they went.

Remembers ratings, for reading bags takes its time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from so101.data.episodes.episode_reader import read_episodes
from so101.data.labels.labels import read_labels
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.episode import Outcome
from so101.errors import BagError, TrainingError
from so101.events import LabelEvent
from so101.groups.rollout import RatedRollout, rate
from so101.policies.checkpoints.files import Checkpoint
from so101.status_events import GroupRequest

_COUNTED = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED)


class GroupHistory:
    """The demonstrations and rollouts of one store."""

    def __init__(self, store: EpisodeStore) -> None:
        """Look at a store; nothing is read yet.

        Attributes:
            left_out: Why rollouts of the newest group do not count, each with its bag.
        """
        self._store = store
        self.left_out: tuple[str, ...] = ()
        self._ratings: dict[tuple[Path, tuple[LabelEvent, ...]], tuple[RatedRollout, ...]] = {}

    def shown(self, supervised: Checkpoint) -> list[EpisodeEntry]:
        """Return what the supervised policy was trained on.

        Raises:
            TrainingError: One of its demonstrations is gone.
        """
        known = {entry.facts.id: entry for entry in self._store.episodes()}
        names = [episode.id for episode in supervised.record.episodes]
        if gone := [name for name in names if name not in known]:
            raise TrainingError(f"{self._store.root}: demonstration {gone[0]!r} is gone")
        return [known[name] for name in names]

    def tried(self, request: GroupRequest, policies: Iterable[str]) -> list[EpisodeEntry]:
        """Return the rollouts so far, oldest first; of one that was run again the last.

        Args:
            request: Names the newest group, the task and the start region.
            policies: sha256 of those whose rollouts count.

        One that misses too much to be read is left out.

        Raises:
            TrainingError: The newest group has no rollout that can be read.
        """
        found: dict[tuple[int, int], EpisodeEntry] = {}
        for entry in self._rollouts(request, policies):
            facts = entry.facts
            if facts.group <= request.group:
                found.pop((facts.group, facts.rollout), None)
                found[facts.group, facts.rollout] = entry
        reasons = {key: self._problem(entry) for key, entry in found.items()}
        newest = [key for key in found if key[0] == request.group]
        self.left_out = tuple(reasons[key] for key in newest if reasons[key])
        if len(self.left_out) == len(newest):
            what = f"{self._store.root}: group {request.group} has no rollout"
            raise TrainingError("; ".join((what, *self.left_out)))
        return [entry for key, entry in found.items() if not reasons[key]]

    def has_finished(self, request: GroupRequest, group: int, policy: str) -> bool:
        """Tell whether a policy has made every rollout of a group, so that it makes no more."""
        numbers = {
            entry.facts.rollout
            for entry in self._rollouts(request, [policy])
            if entry.facts.group == group
        }
        return numbers >= set(range(request.rollouts))

    def rate(self, entries: Sequence[EpisodeEntry]) -> list[RatedRollout]:
        """Return how episodes went, by their outcomes and labels as they are now.

        Raises:
            BagError: A bag cannot be read.
        """
        return [one for entry in entries for one in self._rate(entry)]

    def _rollouts(self, request: GroupRequest, policies: Iterable[str]) -> Iterator[EpisodeEntry]:
        """Yield the rollouts of policies that count, as recorded."""
        kind, known = ("rollouts", request.task, request.start), frozenset(policies)
        for entry in self._store.episodes():
            facts = entry.facts
            is_one = (facts.phase, facts.task, facts.start_pose) == kind and facts.group >= 0
            is_counted = not entry.problem and entry.outcome in _COUNTED
            if is_one and is_counted and facts.checkpoint in known:
                yield entry

    def _problem(self, entry: EpisodeEntry) -> str:
        """Return why a rollout cannot be read, as one cut at its first ticks; empty if it can."""
        try:
            self._rate(entry)
        except BagError as error:
            return str(error)
        return ""

    def _rate(self, entry: EpisodeEntry) -> tuple[RatedRollout, ...]:
        key = (entry.path, read_labels(entry.path))
        if key not in self._ratings:
            # without an outcome it is a demonstration of others, who keep what went well
            self._ratings[key] = tuple(
                rate(replace(one, outcome=one.outcome or Outcome.SUCCESS))
                for one in read_episodes(entry.path)
            )
        return self._ratings[key]
