"""Teleop node: what the human wants. Here the scripted human of the simulation.

Owns the topics and the decision ticks. How the script picks is in ``so101.simulation``.
"""

import sys
from typing import Any

from rclpy.node import Node

from so101.acting import ActingLoop
from so101.control.trajectory import chunk_to_trajectory
from so101.episode import ControlSource
from so101.events import EpisodeEvent
from so101.robot import JOINTS
from so101.ros.convert import to_header
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.observing import observe
from so101.ros.params import declare
from so101.ros.run import run
from so101.simulation.demonstrator import Imperfection, ScriptedDemonstrator
from so101.simulation.tasks.table import make_task
from so101.streams import ObservationConfig
from so101.topics import EPISODE, TELEOP_ALIVE, TELEOP_TRAJECTORY
from teleop_node.params import TeleopParams

ALIVE_PERIOD_S = 0.03


class TeleopNode(Node):
    """Plays the demonstrator whenever an episode asks for a human."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters and create the interfaces."""
        super().__init__("teleop_node", **kwargs)
        self._params = declare(self, TeleopParams)
        config = ObservationConfig(uses_objects=True, is_lock_step=self._params.lockstep)
        self._loop = ActingLoop(config, ControlSource.TELEOP.value, self._params.decision_ticks)
        task = make_task(self._params.task)
        skill = Imperfection() if self._params.is_imperfect else Imperfection.none()
        self._demonstrator = ScriptedDemonstrator(task, skill)
        self._endpoints = Endpoints(self)
        self._endpoints.offer(TELEOP_TRAJECTORY, TELEOP_ALIVE)
        self._endpoints.hear(EPISODE, EpisodeEvent, self._on_episode)
        observe(self._endpoints, config, self._feed)
        self.create_timer(ALIVE_PERIOD_S, self._on_alive)
        Health(self, self._endpoints)
        self._newest_ns = 0

    def _on_episode(self, event: EpisodeEvent) -> None:
        if self._loop.on_episode(event):
            self._demonstrator.reset(event.facts.seed)
            self._act()
        elif self._loop.has_ended(event):
            self._endpoints.publish(TELEOP_ALIVE, to_header(event.stamp_ns))

    def _feed(self, topic: str, value: Any, stamp_ns: int, arrival_ns: int) -> None:
        self._newest_ns = max(self._newest_ns, stamp_ns)
        self._loop.feed(topic, value, stamp_ns, arrival_ns)
        self._act()

    def _act(self) -> None:
        observation = self._loop.due()
        if observation is None:
            return
        chunk = self._demonstrator.act(observation)
        trajectory = chunk_to_trajectory(chunk, JOINTS)
        self._endpoints.command(TELEOP_TRAJECTORY, trajectory)

    def _on_alive(self) -> None:
        if self._loop.facts is not None:
            self._endpoints.publish(TELEOP_ALIVE, to_header(self._newest_ns))


def main() -> int:
    """Run the teleop node."""
    return run(TeleopNode)


if __name__ == "__main__":
    sys.exit(main())
