"""What bags say of trials and motions: the graph's counterpart of what runs in process."""

from pathlib import Path

import numpy as np

from so101.data.bags.bag import open_bag
from so101.data.episodes.robot_topics import find_namespace
from so101.data.episodes.segments import find_segments
from so101.data.episodes.timeline import Timeline, read_timeline
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.episode import Outcome
from so101.errors import BagError
from so101.evaluation import PHASE, Evaluation, EvaluationConfig, Trial, in_seed_order, trial_facts
from so101.robot import JOINTS
from so101.simulation.playback import RecordedMotion
from so101.topics import EPISODE, JOINT_COMMANDS, JOINT_STATES, OBJECTS

_COUNTED = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED)


def recorded_evaluation(store: Path, config: EvaluationConfig, checkpoint: str) -> Evaluation:
    """Return the evaluation that the session recorded, from its bags.

    Args:
        store: The episode store.
        config: Which episodes belong to it; of several with the same seed the last counts.
        checkpoint: sha256 of the policy's weights.
    """
    wanted = {trial_facts(config, number).seed for number in range(config.episodes)}
    trials: dict[int, Trial] = {}
    for entry in EpisodeStore(store).episodes():
        facts = entry.facts
        is_of_it = (
            facts.phase == PHASE
            and facts.checkpoint == checkpoint
            and facts.seed in wanted
            and (facts.task, facts.start_pose) == (config.task, config.start)
        )
        if is_of_it and not entry.problem and entry.outcome in _COUNTED:
            trials[facts.seed] = _trial(entry)
    return in_seed_order(list(trials.values()))


def recorded_motion(path: Path) -> RecordedMotion:
    """Return the motion of a bag's episode.

    Raises:
        BagError: The bag is corrupt or foreign, or says nothing about objects.
    """
    timeline, start_ns, end_ns = _read(path)
    stamps, commands = timeline.commands(len(JOINTS))
    inside = (stamps >= start_ns) & (stamps <= end_ns)
    measured = {
        sample.stamp_ns: sample.value.positions
        for sample in timeline.samples
        if sample.topic == JOINT_STATES.name
    }
    rows = [i for i in np.flatnonzero(inside) if int(stamps[i]) in measured]
    objects = [
        sample.value
        for sample in timeline.samples
        if sample.topic == OBJECTS.name and start_ns <= sample.stamp_ns <= end_ns
    ]
    if not rows or not objects:
        missing = OBJECTS.name if rows else f"{JOINT_STATES.name} or {JOINT_COMMANDS.name}"
        raise BagError(f"{path}: cannot be replayed in simulation: {missing}: no message")
    return RecordedMotion(
        stamps_ns=stamps[rows],
        commands=commands[rows],
        positions=np.array([measured[int(stamps[i])] for i in rows]),
        objects=objects[0],
    )


def _trial(entry: EpisodeEntry) -> Trial:
    timeline, start_ns, end_ns = _read(entry.path)
    reason = next(
        (e.reason for e in reversed(timeline.events[EPISODE.name]) if e.state.is_end), ""
    )
    outcome = entry.outcome or Outcome.TRUNCATED
    return Trial(
        seed=entry.facts.seed,
        outcome=outcome,
        duration_s=(end_ns - start_ns) * 1e-9,
        kind="" if outcome is Outcome.SUCCESS else reason.rpartition(": ")[2],
    )


def _read(path: Path) -> tuple[Timeline, int, int]:
    """Return what a bag says, and the span of its last episode [ns]."""
    bag = open_bag(path)
    timeline = read_timeline(bag, JOINTS, find_namespace(bag, None))
    segment = find_segments(bag, timeline)[-1]
    return timeline, segment.start_ns, segment.end_ns
