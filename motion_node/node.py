"""Motion node: brings the arm home, before every episode and when asked.

Plans the straight joint line from the command in force, or a way around what it would collide
with. It commands nothing itself: its trajectory passes the arbiter and the gate like everybody's.
"""

import sys
from typing import Any

import numpy as np
from rclpy.node import Node

from motion_node.params import MotionParams
from motion_node.scene import SceneResets
from so101.arrays import FloatArray
from so101.clock import nanoseconds
from so101.episode import EpisodeState
from so101.errors import MotionError
from so101.events import EpisodeEvent
from so101.kinematics.collision import CollisionModel
from so101.kinematics.planner import plan_motion
from so101.robot import so101
from so101.ros.convert import from_joint_command, to_header
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.params import declare
from so101.ros.run import run
from so101.ros.timing import repeat
from so101.topics import EPISODE, JOINT_COMMANDS, MOTION_ALIVE, MOTION_TRAJECTORY

ALIVE_PERIOD_S = 0.03
AT_HOME = 1e-3
"""Within this of the pose nothing is moved [rad]."""


class MotionNode(Node):
    """Goes home."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters and create the interfaces."""
        super().__init__("motion_node", **kwargs)
        self._params = declare(self, MotionParams)
        self._spec = so101()
        self._collision = CollisionModel() if self._params.check_collisions else None
        self._command: FloatArray | None = None
        self._newest_ns = 0
        self._resets = SceneResets()
        self._ends_ns: int | None = None
        self._endpoints = Endpoints(self)
        self._endpoints.offer(MOTION_TRAJECTORY, MOTION_ALIVE)
        self._endpoints.listen(JOINT_COMMANDS, self._on_command)
        self._endpoints.hear(EPISODE, EpisodeEvent, self._on_episode)
        self._endpoints.trigger("motion/home", self._go_home)
        Health(self, self._endpoints)
        repeat(self, ALIVE_PERIOD_S, self._on_alive)

    def _on_command(self, message: Any) -> None:
        self._newest_ns, self._command = from_joint_command(message)
        self._resets.on_stamp(self._newest_ns)

    def _on_episode(self, event: EpisodeEvent) -> None:
        if event.state is not EpisodeState.RESETTING or self._command is None:
            return  # an arm that was not commanded yet stands where it was put
        if self._resets.is_done(event.stamp_ns):
            return
        try:
            self._go_home()
        except MotionError as error:
            self.get_logger().error(f"cannot reset the arm: {error}")

    def _go_home(self) -> str:
        if self._command is None:
            raise MotionError(f"{JOINT_COMMANDS.name}: nothing has arrived yet")
        goal = self._spec.poses[self._params.home]
        if np.abs(goal - self._command).max() < AT_HOME:
            return "already home"
        trajectory = plan_motion(
            self._command,
            goal,
            self._spec,
            self._collision,
            rng=np.random.default_rng(self._params.seed),
            speed=self._params.speed,
            stamp_ns=self._newest_ns,
        )
        self._ends_ns = self._newest_ns + trajectory.times_ns[-1]
        self._endpoints.command(MOTION_TRAJECTORY, trajectory)
        self._on_alive()
        return f"moving home within {trajectory.times_ns[-1] * 1e-9:.1f} s"

    def _on_alive(self) -> None:
        if self._ends_ns is not None and self._newest_ns <= self._ends_ns + nanoseconds(0.1):
            self._endpoints.publish(MOTION_ALIVE, to_header(self._newest_ns))


def main() -> int:
    """Run the motion node."""
    return run(MotionNode)


if __name__ == "__main__":
    sys.exit(main())
