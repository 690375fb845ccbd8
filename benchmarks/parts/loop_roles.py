"""The processes of `benchmarks/loop_overhead.py`: who plays, who acts, who listens, and when.

Each notes when what happened, by the system clock that DDS stamps arrivals with as well.
"""

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parts.loop_bare import bare_policy, bare_relay, spin_bare, subscribe
from parts.loop_notes import STREAMS, Notes, Setting, stamp_of
from rclpy.context import Context
from rclpy.node import Node
from recording import messages

from so101 import camera_images
from so101.acting import ActingLoop
from so101.clock import CONTROL_GRID, CONTROL_HZ, POLICY_GRID
from so101.episode import EpisodeFacts, EpisodeState
from so101.events import EpisodeEvent
from so101.ros.endpoints import Endpoints
from so101.ros.run import run
from so101.ros.spin import Spinner, wait_for_matched
from so101.status_events import PolicyInfo
from so101.topics import ARM_TRAJECTORY, EPISODE, POLICY_INFO, POLICY_TRAJECTORY

SETTLE_S = 1.0
"""Time for the rest of the graph to find each other once the policy is there [s]."""
PATIENCE_S = 120.0


def play(setting: Setting, notes: Notes) -> None:
    """Publish the streams in real time: joints at 60 Hz, then two JPEG frames at 30 Hz."""
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
    if not spinner.spin_until(lambda: _is_whole(node), PATIENCE_S):
        raise SystemExit("somebody on the way to the controller did not come up")
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


def _is_whole(node: Node) -> bool:
    """Tell whether both topics of trajectories have somebody at either end."""
    names = (POLICY_TRAJECTORY.name, ARM_TRAJECTORY.name)
    return all(node.count_publishers(one) and node.count_subscribers(one) for one in names)


def listen(setting: Setting, notes: Notes) -> None:
    """Hear what the controller would follow."""
    if setting.is_bare:
        spin_bare(notes, lambda node: subscribe(node, ARM_TRAJECTORY, lambda message: None))
        return

    class Controller(Node):
        def __init__(self) -> None:
            super().__init__("controller", start_parameter_services=False)
            notes.hear(self, (ARM_TRAJECTORY.name,))
            Endpoints(self).follow(ARM_TRAJECTORY, lambda message: None)

    run(Controller, [])


def act(setting: Setting, notes: Notes) -> None:
    """Run the policy node with a policy that looks at its images and holds."""
    if setting.is_bare:
        spin_bare(notes, functools.partial(bare_policy, setting))
        return
    from policy_node import loader  # torch, for this process only
    from policy_node.node import PolicyNode

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
        spin_bare(notes, bare_relay)
        return
    from intervention_node.node import InterventionNode

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
    publish = Endpoints.publish

    def noted(self: Endpoints, topic: Any, message: Any) -> None:
        before = time.time_ns()
        publish(self, topic, message)
        if topic in (POLICY_TRAJECTORY, ARM_TRAJECTORY):
            notes.add("told", stamp_of(message), before, time.time_ns())

    Endpoints.publish = noted  # type: ignore[method-assign]

    class Probed(kind):  # type: ignore[misc]
        def create_subscription(self, *args: Any, **options: Any) -> Any:
            if not hasattr(self, "_is_probed"):
                self._is_probed = True
                self.create_subscription = super().create_subscription
                notes.hear(self, heard)
            return self.create_subscription(*args, **options)

    return Probed()


def _count_decodes(notes: Notes) -> None:

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
