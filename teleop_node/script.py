"""The scripted human of the simulation as teleoperation sees it. Pure."""

from so101.acting import ActingLoop
from so101.control.trajectory import JointTrajectory, chunk_to_trajectory
from so101.episode import ControlSource
from so101.errors import ConfigError
from so101.events import EpisodeEvent
from so101.robot import JOINTS
from so101.simulation.demonstrator import Imperfection, ScriptedDemonstrator
from so101.simulation.tasks.table import make_task
from so101.streams import ObservationConfig
from teleop_node.params import TeleopParams


class Script:
    """Plays the demonstrator whenever an episode asks for a human.

    Attributes:
        config: What it looks at.
        loop: Hands it its observations.
    """

    def __init__(self, params: TeleopParams) -> None:
        """Wait for an episode."""
        self.config = ObservationConfig(uses_objects=True, is_lock_step=params.lockstep)
        self.loop = ActingLoop(self.config, ControlSource.TELEOP.value, params.decision_ticks)
        skill = Imperfection() if params.is_imperfect else Imperfection.none()
        self._demonstrator = ScriptedDemonstrator(make_task(params.task), skill)

    def on_episode(self, event: EpisodeEvent) -> bool:
        """Take note of an episode; tell whether one of its own began.

        Raises:
            ConfigError: Its seed is negative; nothing acts in it.
        """
        if not self.loop.on_episode(event):
            return False
        try:
            self._demonstrator.reset(event.facts.drawn_from)
        except ConfigError:
            self.loop.facts = None
            self.loop.clock.stop()
            raise
        return True

    def act(self) -> JointTrajectory | None:
        """Return the next chunk, or None when none is due."""
        observation = self.loop.due()
        if observation is None:
            return None
        return chunk_to_trajectory(self._demonstrator.act(observation), JOINTS)
