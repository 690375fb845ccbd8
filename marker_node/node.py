"""Marker node: the gripper's way, the policy's plan and the session's words, for RViz.

Reads what others publish and commands nothing; the graph does not notice when it is gone.
"""

import sys
from typing import Any

from rclpy.node import Node

from marker_node.params import MarkerParams
from marker_node.scene import Drawing, Kind, Scene
from so101.control.trajectory import JointTrajectory
from so101.errors import ObservationError
from so101.events import ControlEvent, EpisodeEvent
from so101.kinematics.chain import so101_chain
from so101.robot import BASE_FRAME
from so101.ros.convert import from_joint_command
from so101.ros.endpoints import Endpoints
from so101.ros.markers import to_line, to_markers, to_nothing, to_words
from so101.ros.params import declare
from so101.ros.run import run
from so101.ros.timing import repeat
from so101.status_events import SessionStatus
from so101.topics import (
    CONTROL_SOURCE,
    EPISODE,
    JOINT_STATES,
    MARKERS,
    POLICY_TRAJECTORY,
    SESSION_STATUS,
)


class MarkerNode(Node):
    """Draws the session."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters and create the interfaces."""
        super().__init__("marker_node", **kwargs)
        params = declare(self, MarkerParams)
        self._frame = params.frame_prefix + BASE_FRAME
        self._scene = scene = Scene(so101_chain(), params.trail)
        self._endpoints = endpoints = Endpoints(self)
        endpoints.offer(MARKERS)
        endpoints.listen(
            JOINT_STATES, lambda message: scene.on_state(*from_joint_command(message))
        )
        endpoints.follow(POLICY_TRAJECTORY, self._on_plan)
        endpoints.hear(EPISODE, EpisodeEvent, scene.on_episode)
        endpoints.hear(CONTROL_SOURCE, ControlEvent, scene.on_control)
        endpoints.hear(SESSION_STATUS, SessionStatus, lambda said: scene.on_waiting(said.waiting))
        repeat(self, 1.0 / params.rate, self._draw)

    def _on_plan(self, trajectory: JointTrajectory) -> None:
        try:
            self._scene.on_plan(trajectory)
        except ObservationError as error:
            self.get_logger().warning(f"not drawn: {error}", throttle_duration_sec=1.0)

    def _draw(self) -> None:
        """Send everything, also what takes markers away: of a node before this one, too."""
        markers = [marker_of(each) for each in self._scene.drawings()]
        self._endpoints.publish(MARKERS, to_markers(markers, self._frame))


def marker_of(drawing: Drawing) -> Any:
    """Return a drawing as RViz gets it; what is not there as what takes it away."""
    if not drawing.is_visible:
        return to_nothing(drawing.name)
    if drawing.kind is Kind.LINE:
        return to_line(drawing.name, drawing.points, drawing.colours, drawing.size_m)
    (point,), (colour,) = drawing.points, drawing.colours
    return to_words(drawing.name, point, colour, drawing.size_m, drawing.text)


def main() -> int:
    """Run the marker node."""
    return run(MarkerNode)


if __name__ == "__main__":
    sys.exit(main())
