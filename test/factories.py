"""Small, seeded observations, episodes and bags for tests.

`make_messages` plays a synthetic rollout on the time grid: chunks observed at decision ticks, a
follower that passes their points exactly, joint states one control tick behind the commands.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from so101.action import ActionChunk
from so101.clock import CONTROL_GRID, NS_PER_S, POLICY_GRID
from so101.data.bags.bag_writer import BagWriter
from so101.data.bags.custom_data import OUTCOME, facts_to_text
from so101.data.bags.messages import create, encode
from so101.episode import (
    SOURCE_CODES,
    ControlSource,
    Episode,
    EpisodeFacts,
    EpisodeState,
    Outcome,
)
from so101.events import ControlEvent, EpisodeEvent, Event, RewardEvent
from so101.images import encode_jpeg
from so101.observation import Observation
from so101.robot import JOINTS
from so101.topics import (
    CONTROL_SOURCE,
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    OBJECTS,
    POLICY_TRAJECTORY,
    REWARD,
    TASK,
    TELEOP_TRAJECTORY,
    Topic,
    image_topic,
    recorded_topics,
)

START_NS = POLICY_GRID.stamp(300)
_ENDS = {
    Outcome.SUCCESS: EpisodeState.SUCCEEDED,
    Outcome.FAILURE: EpisodeState.FAILED,
    Outcome.TRUNCATED: EpisodeState.TRUNCATED,
    Outcome.DISCARDED: EpisodeState.DISCARDED,
}


class TimedMessage(NamedTuple):
    """One message of a synthetic recording, in the order of arrival."""

    topic: Topic
    stamp_ns: int
    message: Any
    log_time_ns: int


class Rollout(NamedTuple):
    """A synthetic recording and what its reader must find."""

    messages: list[TimedMessage]
    chunks: dict[int, np.ndarray]
    facts: EpisodeFacts


def make_observation(
    *,
    seed: int = 0,
    stamp_ns: int = START_NS,
    cameras: Sequence[str] = (),
    image_size: tuple[int, int] = (24, 32),
    objects: int = 0,
) -> Observation:
    """Return an observation of the SO-101 with plausible random values."""
    rng = np.random.default_rng(seed)
    joints = len(JOINTS)
    return Observation(
        stamp_ns=stamp_ns,
        positions=rng.uniform(-1, 1, joints),
        velocities=rng.normal(0, 0.1, joints),
        effort=rng.normal(0, 0.1, joints),
        command=rng.uniform(-1, 1, joints),
        images={c: rng.integers(0, 256, (*image_size, 3), dtype=np.uint8) for c in cameras},
        task="pick up the cube",
        objects=_poses(rng, objects) if objects else None,
    )


def make_episode(
    *,
    steps: int = 40,
    seed: int = 0,
    cameras: Sequence[str] = (),
    image_size: tuple[int, int] = (24, 32),
    objects: int = 1,
    outcome: Outcome | None = Outcome.SUCCESS,
    idle: Sequence[tuple[int, int]] = (),
    episode: str = "",
) -> Episode:
    """Return an episode in columns, as a reader would.

    Args:
        steps: Its length.
        seed: Of every value.
        cameras: Camera ids.
        image_size: Height and width [px].
        objects: Number of objects; 0 for none.
        outcome: How it ended.
        idle: (first, past-last) ticks during which the command stands still.
        episode: Episode id.
    """
    rng = np.random.default_rng(seed)
    first = POLICY_GRID.floor(START_NS)
    speed = np.full((steps + 1, len(JOINTS)), 0.05) * rng.choice([-1.0, 1.0], len(JOINTS))
    for begin, end in idle:
        speed[begin:end] = 0.0
    commands = np.cumsum(speed, axis=0) + rng.uniform(-0.1, 0.1, len(JOINTS))
    is_terminal = outcome in (Outcome.SUCCESS, Outcome.FAILURE)
    rewards = np.zeros(steps)
    rewards[-1] = float(outcome is Outcome.SUCCESS)
    is_last = np.arange(steps) == steps - 1
    return Episode(
        facts=EpisodeFacts(id=episode or f"episode-{seed}", task="pick up the cube"),
        outcome=outcome,
        stamps_ns=np.array([POLICY_GRID.stamp(first + i) for i in range(steps)]),
        positions=commands[:-1] - 0.01,
        velocities=speed[:-1] * 30,
        effort=rng.normal(0, 0.1, (steps, len(JOINTS))),
        commands=commands[:-1],
        actions=commands[1:],
        sources=np.full(steps, SOURCE_CODES[ControlSource.POLICY]),
        rewards=rewards,
        terminated=is_last & is_terminal,
        truncated=is_last & (not is_terminal),
        objects=np.stack([_poses(rng, objects) for _ in range(steps)]) if objects else None,
        images={c: tuple(_jpeg(rng, image_size) for _ in range(steps)) for c in cameras},
        is_gap=np.zeros(steps, dtype=np.bool_),
    )


def make_rollout(
    *,
    steps: int = 30,
    seed: int = 0,
    cameras: Sequence[str] = ("front",),
    image_size: tuple[int, int] = (24, 32),
    objects: int = 1,
    outcome: Outcome | None = Outcome.SUCCESS,
    episode: str = "rollout-1",
    source: ControlSource = ControlSource.POLICY,
    start_ns: int = START_NS,
    horizon: int = 16,
    execute_steps: int = 8,
) -> Rollout:
    """Play a synthetic lock-step rollout in which the gate changes nothing."""
    facts = EpisodeFacts(id=episode, task="pick up the cube", source=source.value, seed=seed)
    play = _Playback(np.random.default_rng(seed), facts, start_ns)
    play.begin(source)
    asked = POLICY_TRAJECTORY if source is ControlSource.POLICY else TELEOP_TRAJECTORY
    for step in range(steps + 1):
        play.observe(2 * step)
        play.see(2 * step, cameras, image_size, objects)
        if step:
            play.rate(step, steps, outcome)
        if step < steps and step % execute_steps == 0:
            play.plan(step, asked, horizon)
        play.command(2 * step, play.goal)
        if step < steps:
            following = play.chunk[step - play.planned_at]
            play.observe(2 * step + 1)
            play.command(2 * step + 1, (play.goal + following) / 2)
            play.goal = following
    if outcome is not None:
        play.end(2 * steps, outcome)
    return Rollout(play.messages, play.chunks, facts)


class _Playback:
    """The state of a synthetic rollout; ticks are control ticks from its start."""

    def __init__(self, rng: np.random.Generator, facts: EpisodeFacts, start_ns: int) -> None:
        self.messages: list[TimedMessage] = []
        self.chunks: dict[int, np.ndarray] = {}
        self.goal = rng.uniform(-0.5, 0.5, len(JOINTS))
        self.chunk = np.empty((0, len(JOINTS)))
        self.planned_at = 0
        self._measured = self.goal - 0.01
        self._rng, self._facts = rng, facts
        self._first = CONTROL_GRID.floor(start_ns)

    def begin(self, source: ControlSource) -> None:
        stamp_ns = self._stamp(0)
        control = ControlEvent(stamp_ns=stamp_ns - NS_PER_S, source=source, device="test")
        self._say(CONTROL_SOURCE, stamp_ns, event_message(control.to_event()))
        self._enter(EpisodeState.RUNNING, stamp_ns)
        self._say(TASK, stamp_ns, create("std_msgs/msg/String", data=self._facts.words))

    def end(self, tick: int, outcome: Outcome) -> None:
        self._enter(_ENDS[outcome], self._stamp(tick))

    def observe(self, tick: int) -> None:
        stamp_ns = self._stamp(tick)
        self._say(JOINT_STATES, stamp_ns, joint_message(stamp_ns, self._measured, effort=True))

    def see(self, tick: int, cameras: Sequence[str], size: tuple[int, int], objects: int) -> None:
        stamp_ns = self._stamp(tick)
        if objects:
            self._say(OBJECTS, stamp_ns, pose_message(stamp_ns, _poses(self._rng, objects)))
        for camera in cameras:
            self._say(image_topic(camera), stamp_ns, image_message(stamp_ns, self._rng, size))

    def rate(self, step: int, steps: int, outcome: Outcome | None) -> None:
        is_end = step == steps
        reward = RewardEvent(
            stamp_ns=self._stamp(2 * step),
            reward=float(is_end and outcome is Outcome.SUCCESS),
            success_probability=step / steps,
            terminated=is_end and outcome in (Outcome.SUCCESS, Outcome.FAILURE),
        )
        self._say(REWARD, reward.stamp_ns, event_message(reward.to_event()))

    def plan(self, step: int, topic: Topic, horizon: int) -> None:
        stamp_ns = self._stamp(2 * step)
        moves = self._rng.normal(0, 0.02, (horizon, len(JOINTS)))
        self.chunk, self.planned_at = self.goal + np.cumsum(moves, axis=0), step
        self.chunks[stamp_ns] = self.chunk
        self._say(topic, stamp_ns, chunk_message(stamp_ns, self.chunk))

    def command(self, tick: int, goal: np.ndarray) -> None:
        stamp_ns = self._stamp(tick)
        self._say(JOINT_COMMANDS, stamp_ns, joint_message(stamp_ns, goal))
        self._measured = goal

    def _enter(self, state: EpisodeState, stamp_ns: int) -> None:
        event = EpisodeEvent(stamp_ns=stamp_ns, state=state, facts=self._facts)
        self._say(EPISODE, stamp_ns, event_message(event.to_event()))

    def _stamp(self, tick: int) -> int:
        return CONTROL_GRID.stamp(self._first + tick)

    def _say(self, topic: Topic, stamp_ns: int, message: Any) -> None:
        arrival_ns = stamp_ns + len(self.messages)
        self.messages.append(TimedMessage(topic, stamp_ns, message, arrival_ns))


def make_bag(
    *,
    directory: Path,
    rollout: Rollout | None = None,
    cameras: Sequence[str] = ("front",),
    aux: Sequence[str] = (),
    custom_data: dict[str, str] | None = None,
    **options: Any,
) -> Path:
    """Write a rollout as a bag and return its directory; ``options`` go to `make_rollout`."""
    rollout = rollout or make_rollout(cameras=cameras, **options)
    writer = BagWriter(
        directory,
        recorded_topics(tuple(cameras), tuple(aux)),
        name=rollout.facts.id,
        facts=facts_to_text(rollout.facts),
        now_ns=lambda: 0,
    )
    for topic, stamp_ns, message, log_time_ns in rollout.messages:
        writer.write(topic.name, encode(message), log_time_ns, stamp_ns)
    outcome = {OUTCOME: options["outcome"].value} if options.get("outcome") else {}
    told = {**facts_to_text(rollout.facts), **outcome, **(custom_data or {})}
    return writer.close(told).path


def record_episode(directory: Path, episode: Episode) -> Path:
    """Write an episode without cameras as the bag that a recorder would have made of it.

    Chunks are left out: what was planned is no part of what is learned from.
    """
    facts, stamps = episode.facts, [*episode.stamps_ns.tolist()]
    stamps.append(POLICY_GRID.stamp(POLICY_GRID.floor(stamps[-1]) + 1))
    said: list[TimedMessage] = []

    def say(topic: Topic, stamp_ns: int, message: Any) -> None:
        said.append(TimedMessage(topic, stamp_ns, message, stamp_ns + len(said)))

    def command(stamp_ns: int, goal: np.ndarray) -> None:
        say(JOINT_COMMANDS, stamp_ns, joint_message(stamp_ns, goal))

    control = ControlEvent(stamp_ns=stamps[0], source=ControlSource(facts.source))
    say(CONTROL_SOURCE, stamps[0], event_message(control.to_event()))
    began = EpisodeEvent(stamp_ns=stamps[0], state=EpisodeState.RUNNING, facts=facts)
    say(EPISODE, stamps[0], event_message(began.to_event()))
    for i, stamp_ns in enumerate(stamps):
        if i:
            reward = RewardEvent(
                stamp_ns=stamp_ns,
                reward=float(episode.rewards[i - 1]),
                success_probability=0.0,
                terminated=bool(episode.terminated[i - 1]),
            )
            if i < len(episode):
                command(CONTROL_GRID.stamp(CONTROL_GRID.floor(stamp_ns) - 1), episode.commands[i])
            command(stamp_ns, episode.actions[i - 1])
            say(REWARD, stamp_ns, event_message(reward.to_event()))
        if i < len(episode):
            state = joint_message(stamp_ns, episode.positions[i])
            state.velocity, state.effort = episode.velocities[i], episode.effort[i]
            say(JOINT_STATES, stamp_ns, state)
            if episode.objects is not None:
                say(OBJECTS, stamp_ns, pose_message(stamp_ns, episode.objects[i]))
    assert episode.outcome is not None
    end = EpisodeEvent(stamp_ns=stamps[-1], state=_ENDS[episode.outcome], facts=facts)
    say(EPISODE, stamps[-1], event_message(end.to_event()))
    return make_bag(
        directory=directory,
        rollout=Rollout(said, {}, facts),
        cameras=(),
        outcome=episode.outcome,
    )


def make_calibration(*, range_min: int = 1000, range_max: int = 3000) -> dict[str, Any]:
    """Return the content of a LeRobot calibration file whose joints all have one range."""
    ends = {"range_min": range_min, "range_max": range_max}
    head = {"drive_mode": 0, "homing_offset": 0}
    return {joint: {"id": at, **head, **ends} for at, joint in enumerate(JOINTS, start=1)}


def header(stamp_ns: int) -> Any:
    stamp = create(
        "builtin_interfaces/msg/Time", sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S
    )
    return create("std_msgs/msg/Header", stamp=stamp, frame_id="")


def joint_message(
    stamp_ns: int,
    positions: np.ndarray,
    *,
    names: Sequence[str] = JOINTS,
    effort: bool = False,
) -> Any:
    empty = np.empty(0)
    return create(
        "sensor_msgs/msg/JointState",
        header=header(stamp_ns),
        name=list(names),
        position=np.asarray(positions, dtype=np.float64),
        velocity=np.asarray(positions) * 0.5 if effort else empty,
        effort=np.asarray(positions) * 0.25 if effort else empty,
    )


def chunk_message(stamp_ns: int, positions: np.ndarray, names: Sequence[str] = JOINTS) -> Any:
    due = ActionChunk(stamp_ns=stamp_ns, positions=positions).due_ns()
    points = []
    for row, at in zip(positions, due, strict=True):
        time = create(
            "builtin_interfaces/msg/Duration",
            sec=(at - stamp_ns) // NS_PER_S,
            nanosec=(at - stamp_ns) % NS_PER_S,
        )
        empty = np.empty(0)
        points.append(
            create(
                "trajectory_msgs/msg/JointTrajectoryPoint",
                positions=np.ascontiguousarray(row, dtype=np.float64),
                velocities=empty,
                accelerations=empty,
                effort=empty,
                time_from_start=time,
            )
        )
    return create(
        "trajectory_msgs/msg/JointTrajectory",
        header=header(stamp_ns),
        joint_names=list(names),
        points=points,
    )


def pose_message(stamp_ns: int, rows: np.ndarray) -> Any:
    poses = [
        create(
            "geometry_msgs/msg/Pose",
            position=create("geometry_msgs/msg/Point", x=r[0], y=r[1], z=r[2]),
            orientation=create("geometry_msgs/msg/Quaternion", x=r[3], y=r[4], z=r[5], w=r[6]),
        )
        for r in rows.tolist()
    ]
    return create("geometry_msgs/msg/PoseArray", header=header(stamp_ns), poses=poses)


def image_message(stamp_ns: int, rng: np.random.Generator, size: tuple[int, int]) -> Any:
    data = np.frombuffer(_jpeg(rng, size), dtype=np.uint8)
    return create(
        "sensor_msgs/msg/CompressedImage", header=header(stamp_ns), format="jpeg", data=data
    )


def table_message(stamp_ns: int, values: np.ndarray) -> Any:
    rows, columns = values.shape
    data = np.frombuffer(values.astype("<f4").tobytes(), dtype=np.uint8)
    return create(
        "sensor_msgs/msg/Image",
        header=header(stamp_ns),
        height=rows,
        width=columns,
        encoding="32FC1",
        is_bigendian=0,
        step=4 * columns,
        data=data,
    )


def event_message(event: Event) -> Any:
    values = [
        create("diagnostic_msgs/msg/KeyValue", key=key, value=value)
        for key, value in event.values.items()
    ]
    status = create(
        "diagnostic_msgs/msg/DiagnosticStatus",
        level=event.level,
        name=event.name,
        message=event.message,
        hardware_id="",
        values=values,
    )
    return create(
        "diagnostic_msgs/msg/DiagnosticArray", header=header(event.stamp_ns), status=[status]
    )


def _poses(rng: np.random.Generator, count: int) -> np.ndarray:
    turn = rng.uniform(-0.5, 0.5, count)
    rows = np.zeros((count, 7))
    rows[:, :3] = rng.uniform(-0.3, 0.3, (count, 3))
    rows[:, 5], rows[:, 6] = np.sin(turn / 2), np.cos(turn / 2)
    return rows


def _jpeg(rng: np.random.Generator, size: tuple[int, int]) -> bytes:
    """Return a smooth random picture: noise would neither compress nor survive compression."""
    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.float64)
    down, right = (np.linspace(0, 1, n)[:, None] for n in size)
    rows = corners[0][None] * (1 - down[:, :, None]) + corners[1][None] * down[:, :, None]
    image = rows[:, :1] * (1 - right[None]) + rows[:, 1:] * right[None]
    return encode_jpeg(image.astype(np.uint8))
