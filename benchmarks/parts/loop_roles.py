"""The processes of `benchmarks/loop_overhead.py`: who plays, who acts, who listens, and when.

Each notes when what happened, by the system clock that DDS stamps arrivals with as well.
"""

import functools
import json
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from recording import messages

from so101.clock import CONTROL_GRID, CONTROL_HZ, POLICY_GRID
from so101.control.trajectory import JointTrajectory
from so101.episode import EpisodeFacts, EpisodeState
from so101.events import EpisodeEvent
from so101.robot import CAMERAS, JOINTS
from so101.status_events import PolicyInfo
from so101.topics import (
    ARM_TRAJECTORY,
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    POLICY_INFO,
    POLICY_TRAJECTORY,
    image_topic,
)

STREAMS = (JOINT_STATES, JOINT_COMMANDS, *(image_topic(camera) for camera in CAMERAS))
SETTLE_S = 1.0
"""Time for the rest of the graph to find each other once the policy is there [s]."""
PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one round measures.

    Attributes:
        seconds: Duration of the streams [s].
        decision_ticks: Policy ticks from one decision to the next.
        waits_for_frames: A decision waits for the frames of its own tick, which come last, as in
            lock-step; else it is due with the joint states, as on a robot.
        is_bare: Plain rclpy on the same topics instead of the nodes.
        checkpoint: Directory of the policy that is replaced by one that holds.
    """

    seconds: float
    decision_ticks: int
    waits_for_frames: bool
    is_bare: bool
    checkpoint: str


class Notes:
    """What a process saw, in lists by name; written when it ends."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.rows: dict[str, list[Any]] = {}

    def add(self, name: str, *values: Any) -> None:
        """Note something."""
        self.rows.setdefault(name, []).append(values)

    def hear(self, node: Any, only: tuple[str, ...]) -> None:
        """Note stamp, and begin and end of the callback, of some topics' messages [ns]."""
        create = node.create_subscription

        @functools.wraps(create)
        def listening(kind: Any, topic: str, callback: Any, *args: Any, **options: Any) -> Any:
            if topic not in only:
                return create(kind, topic, callback, *args, **options)

            def noted(message: Any) -> None:
                entered = time.time_ns()
                callback(message)
                self.add("heard", topic, _stamp_of(message), entered, time.time_ns())

            return create(kind, topic, noted, *args, **options)

        node.create_subscription = listening


def trajectory(stamp_ns: int) -> JointTrajectory:
    """Return a chunk of 16 points that holds."""
    times = tuple(POLICY_GRID.stamp(i + 1) for i in range(16))
    return JointTrajectory(
        stamp_ns=stamp_ns,
        joints=JOINTS,
        times_ns=times,
        positions=np.full((16, len(JOINTS)), 0.25),
    )


def play(setting: Setting, notes: Notes) -> None:
    """Publish the streams in real time: joints at 60 Hz, then two JPEG frames at 30 Hz."""
    from rclpy.context import Context
    from rclpy.node import Node

    from so101.ros.endpoints import Endpoints
    from so101.ros.spin import Spinner, wait_for_matched

    context = Context()
    context.init(args=[])
    node = Node("played_streams", context=context, start_parameter_services=False)
    endpoints, spinner = Endpoints(node), Spinner(node)
    infos: list[PolicyInfo] = []
    endpoints.offer(*STREAMS, EPISODE)
    facts = EpisodeFacts(id="bench", source="policy")
    own = {f"/{topic.name}" for topic in STREAMS}
    publishers = [one for one in node.publishers if one.topic_name in own]
    wait_for_matched(spinner, publishers, timeout_s=PATIENCE_S)
    if not setting.is_bare:
        endpoints.hear(POLICY_INFO, PolicyInfo, infos.append)
        endpoints.tell(EPISODE, EpisodeEvent(stamp_ns=0, state=EpisodeState.IDLE, facts=facts))
        if not spinner.spin_until(lambda: any(one.checkpoint for one in infos), PATIENCE_S):
            raise SystemExit("the policy node did not come up")
    spinner.spin_for(SETTLE_S)
    first_ns = POLICY_GRID.stamp(POLICY_GRID.ceil(time.time_ns()))
    sent = list(messages(setting.seconds, CONTROL_GRID.floor(first_ns)))
    begin = EpisodeEvent(stamp_ns=first_ns, state=EpisodeState.RUNNING, facts=facts)
    endpoints.tell(EPISODE, begin)
    spinner.spin_for(0.2)
    began, newest = time.monotonic(), -1
    for tick, topic, data, stamp_ns in sent:
        if tick != newest:
            newest = tick
            spinner.spin_for(max(0.0, began + tick / CONTROL_HZ - time.monotonic()))
        before = time.time_ns()
        endpoints.publish(topic, data)
        notes.add("sent", topic.name, stamp_ns, before, time.time_ns())
    spinner.spin_for(0.5)
    spinner.close()
    node.destroy_node()
    context.try_shutdown()


def listen(setting: Setting, notes: Notes) -> None:
    """Hear what the controller would follow."""
    if setting.is_bare:
        _bare(notes, lambda node: _subscribe(node, ARM_TRAJECTORY, lambda message: None))
        return
    from rclpy.node import Node

    from so101.ros.endpoints import Endpoints
    from so101.ros.run import run

    class Controller(Node):
        def __init__(self) -> None:
            super().__init__("controller", start_parameter_services=False)
            notes.hear(self, (ARM_TRAJECTORY.name,))
            Endpoints(self).follow(ARM_TRAJECTORY, lambda message: None)

    run(Controller, [])


def act(setting: Setting, notes: Notes) -> None:
    """Run the policy node with a policy that looks at its images and holds."""
    if setting.is_bare:
        _bare(notes, lambda node: _bare_policy(setting, notes, node))
        return
    from policy_node import loader
    from policy_node.node import PolicyNode
    from so101.acting import ActingLoop
    from so101.ros.run import run

    due = ActingLoop.due

    def noted(self: ActingLoop) -> Any:
        seen = due(self)
        if seen is not None and self.joined is not None:
            notes.add("joined", seen.stamp_ns, time.time_ns(), dict(self.joined.stamps_ns))
        return seen

    ActingLoop.due = noted  # type: ignore[method-assign]
    load = loader.load_policy
    loader.load_policy = lambda *args, **options: Holding(  # type: ignore[assignment]
        load(*args, **options), notes
    )
    _count_decodes(notes)
    options = {
        "decision_ticks": setting.decision_ticks,
        "checkpoint": setting.checkpoint,
        "lockstep": str(setting.waits_for_frames).lower(),
    }
    heard = tuple(topic.name for topic in STREAMS)
    run(lambda: _probed(PolicyNode, notes, heard), _arguments(options))


def arbitrate(setting: Setting, notes: Notes) -> None:
    """Run the intervention node."""
    if setting.is_bare:
        _bare(notes, lambda node: _bare_relay(notes, node))
        return
    from intervention_node.node import InterventionNode
    from so101.ros.run import run

    options = {
        "policy_decision_ticks": setting.decision_ticks,
        "lockstep": str(setting.waits_for_frames).lower(),
    }
    make = functools.partial(_probed, InterventionNode, notes, (POLICY_TRAJECTORY.name,))
    run(make, _arguments(options))


ROLES: dict[str, Callable[[Setting, Notes], None]] = {
    "listen": listen,
    "arbitrate": arbitrate,
    "act": act,
    "play": play,
}


def run_role(name: str, setting: str, out: Path) -> None:
    """Run one process to its end and write its notes.

    Args:
        name: A key of `ROLES`.
        setting: `Setting` as JSON.
        out: File for the notes.
    """
    notes = Notes()
    try:
        ROLES[name](Setting(**json.loads(setting)), notes)
    finally:
        out.write_text(json.dumps(notes.rows), encoding="utf-8")


def command_of(name: str, setting: Setting, out: Path) -> list[str]:
    """Return the command line of a process."""
    script = str(Path(__file__).parents[1] / "loop_overhead.py")
    return [sys.executable, script, "--role", name, json.dumps(asdict(setting)), str(out)]


class Holding:
    """A policy that looks at its images, holds, and notes when."""

    def __init__(self, policy: Any, notes: Notes) -> None:
        """Take the spec and everything else from a policy."""
        self._policy = policy
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        """Return what the policy has."""
        return getattr(self._policy, name)

    def infer(self, observation: Any, **options: Any) -> Any:
        """Return the command in force."""
        from so101.policies.hold_policy import HoldPolicy
        from so101.policies.observations import stack_observations

        began = time.time_ns()
        for camera in observation.images:
            observation.images[camera]
        decoded = time.time_ns()
        stack_observations([observation], self._policy.spec)
        inference = HoldPolicy(self._policy.spec).infer(observation)
        self._notes.add("inferred", observation.stamp_ns, began, decoded, time.time_ns())
        return inference


def _probed(kind: Any, notes: Notes, heard: tuple[str, ...]) -> Any:
    """Make a node that notes what it hears and when it publishes trajectories."""
    from so101.ros.endpoints import Endpoints

    publish = Endpoints.publish

    def noted(self: Endpoints, topic: Any, message: Any) -> None:
        before = time.time_ns()
        publish(self, topic, message)
        if topic in (POLICY_TRAJECTORY, ARM_TRAJECTORY):
            notes.add("told", _stamp_of(message), before, time.time_ns())

    Endpoints.publish = noted  # type: ignore[method-assign]

    class Probed(kind):  # type: ignore[misc]
        def create_subscription(self, *args: Any, **options: Any) -> Any:
            if not hasattr(self, "_is_probed"):
                self._is_probed = True
                self.create_subscription = super().create_subscription
                notes.hear(self, heard)
            return self.create_subscription(*args, **options)

    return Probed()


def _stamp_of(message: Any) -> int:
    """Return the header stamp of a message, or of its bytes [ns]."""
    if isinstance(message, bytes):
        sec, nanosec = struct.unpack_from("<iI", message, 4)
        return int(sec) * 10**9 + int(nanosec)
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def _count_decodes(notes: Notes) -> None:
    from so101 import camera_images

    decode = camera_images.decode_image

    def noted(jpeg: bytes, size: tuple[int, int]) -> Any:
        before = time.time_ns()
        pixels = decode(jpeg, size)
        notes.add("decoded", before, time.time_ns())
        return pixels

    camera_images.decode_image = noted


def _arguments(options: dict[str, Any]) -> list[str]:
    pairs = [text for name, value in options.items() for text in ("-p", f"{name}:={value}")]
    return ["bench", "--ros-args", *pairs]


def _bare(notes: Notes, make: Callable[[Any], None]) -> None:
    """Spin a plain node with rclpy's default executor until SIGTERM."""
    import rclpy
    from rclpy.executors import ExternalShutdownException

    rclpy.init(args=[])
    node = rclpy.create_node(f"bare_{os.getpid()}")
    notes.hear(node, (ARM_TRAJECTORY.name,))
    make(node)
    with suppress(ExternalShutdownException):
        rclpy.spin(node)


def _subscribe(node: Any, topic: Any, callback: Callable[[Any], None]) -> None:
    from so101.ros.endpoints import interface_class
    from so101.ros.qos import subscriber_qos

    node.create_subscription(
        interface_class(topic.type), topic.name, callback, subscriber_qos(topic)
    )


def _publisher(node: Any, topic: Any) -> Any:
    from so101.ros.endpoints import interface_class
    from so101.ros.qos import publisher_qos

    return node.create_publisher(interface_class(topic.type), topic.name, publisher_qos(topic))


def _bare_policy(setting: Setting, notes: Notes, node: Any) -> None:
    """Answer the last message of a decision tick with a trajectory, and do nothing else."""
    from so101.ros.convert import stamp_of, to_joint_trajectory

    publisher = _publisher(node, POLICY_TRAJECTORY)
    missing: dict[int, int] = {}
    needed = 1 + (len(CAMERAS) if setting.waits_for_frames else 0)

    def take(message: Any) -> None:
        stamp_ns = stamp_of(message)
        tick = POLICY_GRID.floor(stamp_ns)
        if POLICY_GRID.stamp(tick) != stamp_ns or tick % setting.decision_ticks:
            return
        missing[tick] = missing.get(tick, needed) - 1
        if missing[tick] == 0:
            publisher.publish(to_joint_trajectory(trajectory(stamp_ns)))

    _subscribe(node, JOINT_STATES, take)
    _subscribe(node, JOINT_COMMANDS, lambda message: None)
    for camera in CAMERAS:
        waits = setting.waits_for_frames
        _subscribe(node, image_topic(camera), take if waits else lambda message: None)


def _bare_relay(notes: Notes, node: Any) -> None:
    publisher = _publisher(node, ARM_TRAJECTORY)
    _subscribe(node, POLICY_TRAJECTORY, publisher.publish)


def _busy(heard: list[Any], begin_ns: int, end_ns: int) -> int:
    """Return for how long a process ran callbacks in some time [ns]."""
    spans = [(max(begin_ns, one[2]), min(end_ns, one[3])) for one in heard]
    return sum(end - begin for begin, end in spans if begin < end)


def decisions(rows: dict[str, dict[str, list[Any]]], setting: Setting) -> Iterator[dict[str, int]]:
    """Yield the moments of every decision that reached the controller [ns].

    Args:
        rows: Notes by process.
        setting: What was measured.
    """
    sent = {(topic, stamp): before for topic, stamp, before, _ in rows["play"]["sent"]}
    heard = {
        role: {(topic, stamp): tuple(times) for topic, stamp, *times in notes.get("heard", [])}
        for role, notes in rows.items()
    }
    wanted = (JOINT_STATES.name, *(STREAMS[2:] and (t.name for t in STREAMS[2:])))
    if setting.is_bare:
        names = wanted if setting.waits_for_frames else wanted[:1]
        for (topic, stamp_ns), (entered, _) in heard["listen"].items():
            if topic == ARM_TRAJECTORY.name:
                last = max(sent[name, stamp_ns] for name in names)
                yield {"stamp": stamp_ns, "published": last, "controller": entered}
        return
    inferred = {stamp: times for stamp, *times in rows["act"]["inferred"]}
    told = {role: {stamp: t for stamp, *t in rows[role]["told"]} for role in ("act", "arbitrate")}
    for stamp_ns, joined, used in rows["act"]["joined"]:
        name, stamp = max(used.items(), key=lambda one: sent.get(one, 0))
        entered, _ = heard["act"][name, stamp]
        at_arbiter = heard["arbitrate"].get((POLICY_TRAJECTORY.name, stamp_ns))
        at_controller = heard["listen"].get((ARM_TRAJECTORY.name, stamp_ns))
        if at_arbiter is None or at_controller is None or stamp_ns not in inferred:
            yield {"stamp": stamp_ns}
            continue
        began, decoded, planned = inferred[stamp_ns]
        yield {
            "stamp": stamp_ns,
            "published": sent[name, stamp],
            "entered": entered,
            "joined": joined,
            "began": began,
            "decoded": decoded,
            "planned": planned,
            "told": told["act"][stamp_ns][0],
            "arbiter entered": at_arbiter[0],
            "arbiter told": told["arbitrate"][stamp_ns][0],
            "controller": at_controller[0],
            "busy": _busy(rows["act"]["heard"], sent[name, stamp], entered),
        }
