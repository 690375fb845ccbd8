"""An episode's values as the bag that a recorder would have made of them.

Joint states and images at every step; the action of a step stamped with the next step, where the
reader looks for it; the goal in force before a step between the two, where the arm loop has it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from so101.clock import CONTROL_GRID, NS_PER_S, POLICY_GRID, POLICY_HZ
from so101.data.bags.custom_data import IS_LOCK_STEP
from so101.data.bags.message_building import (
    compressed_image,
    event_message,
    joint_state,
    joint_trajectory,
    pose_array,
    text,
)
from so101.data.bags.messages import encode
from so101.data.exchange.lerobot_values import Taken
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.episode import SOURCE_CODES, ControlSource, Episode, EpisodeState, Outcome
from so101.events import ControlEvent, EpisodeEvent, RewardEvent
from so101.topics import (
    CONTROL_SOURCE,
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    OBJECTS,
    REWARD,
    TASK,
    TELEOP_TRAJECTORY,
    Topic,
    image_topic,
    recorded_topics,
)

_ENDS = {
    Outcome.SUCCESS: EpisodeState.SUCCEEDED,
    Outcome.FAILURE: EpisodeState.FAILED,
    Outcome.TRUNCATED: EpisodeState.TRUNCATED,
    Outcome.DISCARDED: EpisodeState.DISCARDED,
}
_SOURCES = {code: source for source, code in SOURCE_CODES.items()}


class StampedMessage(NamedTuple):
    """One message of a bag: its topic, its stamp [ns] and its content."""

    topic: Topic
    stamp_ns: int
    message: Any


def write_episode(
    store: EpisodeStore,
    taken: Taken,
    images: Mapping[str, Iterator[bytes]],
    wall_time: str,
    custom_data: Mapping[str, str],
) -> EpisodeEntry:
    """Add an episode to a store; after an error nothing of it stays.

    Args:
        store: The store.
        taken: The episode's values.
        images: Camera id to one JPEG per step.
        wall_time: ``YYYYMMDD-HHMMSS``, the first part of the bag's name.
        custom_data: Further text by key.

    Raises:
        StoreError: The store cannot be written, or has an episode of this id.
        BagError: An image cannot be read.
    """
    episode = taken.episode
    recording = store.begin(episode.facts, recorded_topics(tuple(images)), wall_time)
    arrival_ns = 0
    try:
        for topic, stamp_ns, message in episode_messages(taken, images):
            arrival_ns = max(stamp_ns, arrival_ns + 1)  # in this order
            recording.write(topic.name, encode(message), arrival_ns, stamp_ns)
    except BaseException:
        recording.discard()
        raise
    on_grid = all(POLICY_GRID.is_tick(stamp) for stamp in episode.stamps_ns.tolist())
    told = {**custom_data, IS_LOCK_STEP: "true" if on_grid else "false"}
    return recording.finish(episode.outcome, told)


def episode_messages(
    taken: Taken, images: Mapping[str, Iterator[bytes]]
) -> Iterator[StampedMessage]:
    """Yield the messages of an episode in the order in which they would have arrived."""
    episode = taken.episode
    stamps = episode.stamps_ns.tolist()
    yield from _beginning(episode, _before(stamps[0], taken.period_ns))
    for i, stamp_ns in enumerate(stamps):
        if i:
            before_ns = _before(stamp_ns, taken.period_ns)
            yield _command(before_ns, episode.commands[i])
            yield from _consequences(taken, i - 1, stamp_ns)
        if i and episode.sources[i] != episode.sources[i - 1]:
            yield _control(episode, i)
        yield from _seen(episode, i, images)
        state = joint_state(
            stamp_ns, episode.positions[i], episode.velocities[i], episode.effort[i]
        )
        yield StampedMessage(JOINT_STATES, stamp_ns, state)
        if episode.wishes is not None and np.isfinite(episode.wishes[i]).all():
            due_ns = _after(stamp_ns, taken.period_ns)
            wish = joint_trajectory(stamp_ns, [due_ns], episode.wishes[i : i + 1])
            yield StampedMessage(TELEOP_TRAJECTORY, stamp_ns, wish)
    end_ns = _after(stamps[-1], taken.period_ns)
    yield from _consequences(taken, len(stamps) - 1, end_ns)
    if episode.outcome is not None:
        yield _state(episode, _ENDS[episode.outcome], end_ns)


def _beginning(episode: Episode, before_ns: int) -> Iterator[StampedMessage]:
    """Yield what says that an episode runs, and the goal it found when there was another one."""
    first = episode.commands[0]
    has_goal = np.isfinite(first).all() and not np.array_equal(first, episode.positions[0])
    start_ns = before_ns if has_goal else int(episode.stamps_ns[0])
    yield _control(episode, 0, start_ns)
    yield _state(episode, EpisodeState.RUNNING, start_ns)
    yield StampedMessage(TASK, start_ns, text(episode.facts.words))
    if has_goal:
        yield _command(start_ns, first)


def _seen(
    episode: Episode, i: int, images: Mapping[str, Iterator[bytes]]
) -> Iterator[StampedMessage]:
    """Yield what goes with a joint state, before it: a tick is joined when that arrives."""
    stamp_ns = int(episode.stamps_ns[i])
    for camera, jpegs in images.items():
        yield StampedMessage(
            image_topic(camera), stamp_ns, compressed_image(stamp_ns, next(jpegs))
        )
    if episode.objects is not None:
        yield StampedMessage(OBJECTS, stamp_ns, pose_array(stamp_ns, episode.objects[i]))


def _consequences(taken: Taken, i: int, stamp_ns: int) -> Iterator[StampedMessage]:
    """Yield what a step led to, at the stamp of the next one."""
    episode = taken.episode
    yield _command(stamp_ns, episode.actions[i])
    if taken.has_rewards:
        reward = RewardEvent(
            stamp_ns=stamp_ns,
            reward=float(episode.rewards[i]),
            success_probability=float("nan"),  # a dataset does not say
            terminated=bool(episode.terminated[i]),
        )
        yield StampedMessage(REWARD, stamp_ns, event_message(reward.to_event()))


def _command(stamp_ns: int, goal: Any) -> StampedMessage:
    return StampedMessage(JOINT_COMMANDS, stamp_ns, joint_state(stamp_ns, goal))


def _control(episode: Episode, i: int, stamp_ns: int | None = None) -> StampedMessage:
    stamp_ns = int(episode.stamps_ns[i]) if stamp_ns is None else stamp_ns
    source: ControlSource = _SOURCES[int(episode.sources[i])]
    event = ControlEvent(stamp_ns=stamp_ns, source=source, device="dataset")
    return StampedMessage(CONTROL_SOURCE, stamp_ns, event_message(event.to_event()))


def _state(episode: Episode, state: EpisodeState, stamp_ns: int) -> StampedMessage:
    event = EpisodeEvent(stamp_ns=stamp_ns, state=state, facts=episode.facts)
    return StampedMessage(EPISODE, stamp_ns, event_message(event.to_event()))


def _before(stamp_ns: int, period_ns: int) -> int:
    """Return the control tick before a policy tick; at other rates, half a period before."""
    if _is_policy_tick(stamp_ns, period_ns):
        return CONTROL_GRID.stamp(CONTROL_GRID.floor(stamp_ns) - 1)
    return stamp_ns - period_ns // 2


def _after(stamp_ns: int, period_ns: int) -> int:
    """Return the stamp of the step after the one at ``stamp_ns``."""
    if _is_policy_tick(stamp_ns, period_ns):
        return POLICY_GRID.stamp(POLICY_GRID.floor(stamp_ns) + 1)
    return stamp_ns + period_ns


def _is_policy_tick(stamp_ns: int, period_ns: int) -> bool:
    return POLICY_GRID.is_tick(stamp_ns) and abs(period_ns - NS_PER_S // POLICY_HZ) <= 1
