"""Intervention node: lets the trajectories of one source through to the arm.

A small process without torch, so that a human can take over when every learning process is dead.
The rules are in ``so101.control.arbiter``; the e-stop itself goes straight to the arm loop.
"""

import sys
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from intervention_node.intervention import Intervention
from intervention_node.params import InterventionParams
from so101.control.arbitration import Ruling
from so101.control.arm_mode import ArmMode, mode_named
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource
from so101.events import ControlEvent, EpisodeEvent, from_message
from so101.ros.convert import from_joint_command, stamp_of
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.params import declare
from so101.ros.run import run
from so101.topics import (
    ARM_STATE,
    ARM_TRAJECTORY,
    CONTROL_SOURCE,
    EPISODE,
    JOINT_COMMANDS,
    MOTION_ALIVE,
    MOTION_TRAJECTORY,
    POLICY_ALIVE,
    POLICY_TRAJECTORY,
    TELEOP_ALIVE,
    TELEOP_TRAJECTORY,
)

SOURCES = (
    (ControlSource.POLICY, POLICY_TRAJECTORY, POLICY_ALIVE),
    (ControlSource.TELEOP, TELEOP_TRAJECTORY, TELEOP_ALIVE),
    (ControlSource.MOTION, MOTION_TRAJECTORY, MOTION_ALIVE),
)


class InterventionNode(Node):
    """Decides who is in control."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters and create the interfaces."""
        super().__init__("intervention_node", **kwargs)
        self._intervention = Intervention(declare(self, InterventionParams))
        self._endpoints = endpoints = Endpoints(self)
        endpoints.offer(ARM_TRAJECTORY, CONTROL_SOURCE)
        for source, trajectory, alive in SOURCES:
            endpoints.follow(trajectory, self._offers(source))
            endpoints.listen(alive, self._signs(source))
        endpoints.listen(JOINT_COMMANDS, self._on_command)
        endpoints.listen(ARM_STATE, self._on_arm_state)
        endpoints.hear(EPISODE, EpisodeEvent, self._on_episode)
        endpoints.trigger("intervention/take_over", self._on_take_over)
        endpoints.trigger("intervention/release", self._on_release)
        Health(self, endpoints)
        self._tell(ControlEvent(stamp_ns=0, source=ControlSource.HOLD, reason="start"))

    def _offers(self, source: ControlSource) -> Callable[[JointTrajectory], None]:
        def offer(trajectory: JointTrajectory) -> None:
            self._pass_on(source, self._intervention.offer(source, trajectory))

        return offer

    def _signs(self, source: ControlSource) -> Callable[[Any], None]:
        def sign(message: Any) -> None:
            stamp_ns, problem = stamp_of(message), message.frame_id
            self._pass_on(source, self._intervention.on_alive(source, stamp_ns, problem))

        return sign

    def _on_command(self, message: Any) -> None:
        for source, ruling in self._intervention.on_command(*from_joint_command(message)):
            self._pass_on(source, ruling)

    def _on_episode(self, event: EpisodeEvent) -> None:
        for source, ruling in self._intervention.on_episode(event):
            self._pass_on(source, ruling)

    def _on_arm_state(self, message: Any) -> None:
        """Follow the arm loop into its e-stop and out of it."""
        event = from_message(message)
        arbiter = self._intervention.arbiter
        if mode_named(event.message) in (ArmMode.ESTOPPED, ArmMode.FAULT):
            self._tell(arbiter.estop(event.stamp_ns, event.values.get("reason", "")))
        elif arbiter.source is ControlSource.ESTOP:
            self._tell(arbiter.recover(event.stamp_ns))

    def _pass_on(self, source: ControlSource, ruling: Ruling) -> None:
        self._tell(ruling.event)
        if ruling.trajectory is not None:
            self._endpoints.command(ARM_TRAJECTORY, ruling.trajectory)
        elif ruling.reason:
            self.get_logger().warning(
                f"{source.value}: dropped: {ruling.reason}", throttle_duration_sec=1.0
            )

    def _on_take_over(self) -> str:
        self._tell(self._intervention.take_over())
        return "teleoperation has control as soon as it acts"

    def _on_release(self) -> str:
        self._tell(self._intervention.release())
        return "released: the next source that acts has control"

    def _tell(self, event: ControlEvent | None) -> None:
        if event is not None:
            self._endpoints.tell(CONTROL_SOURCE, event)


def main() -> int:
    """Run the intervention node."""
    return run(InterventionNode)


if __name__ == "__main__":
    sys.exit(main())
