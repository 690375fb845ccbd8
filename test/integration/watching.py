"""Somebody who watches a graph: what the arm is told, who has control, which episode it is."""

from integration import graphs
from rclpy.context import Context
from rclpy.node import Node

from so101.clock import nanoseconds
from so101.episode import EpisodeState
from so101.errors import SessionError
from so101.events import ControlEvent, EpisodeEvent
from so101.kinematics.chain import GRASP_FRAME, so101_chain
from so101.ros.client import GraphClient
from so101.ros.convert import from_joint_command
from so101.ros.endpoints import Endpoints
from so101.ros.spin import Spinner
from so101.topics import CONTROL_SOURCE, EPISODE, JOINT_COMMANDS

CHAIN = so101_chain()


class Watch:
    """Sees what the arm is told and who has control."""

    def __init__(self, domain, monkeypatch):
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        self.client = GraphClient("test_watch_calls")
        self._context = Context()
        self._context.init(args=[], domain_id=domain)
        self._node = Node("test_watch", context=self._context, use_global_arguments=False)
        self.endpoints, self._spinner = Endpoints(self._node), Spinner(self._node)
        self.endpoints.listen(JOINT_COMMANDS, self._on_command)
        self.endpoints.hear(CONTROL_SOURCE, ControlEvent, self._on_control)
        self.endpoints.hear(EPISODE, EpisodeEvent, self._on_episode)
        self.stamps, self.commands, self.changes, self.episode = [], [], [], None

    def _on_command(self, message):
        stamp_ns, command = from_joint_command(message)
        self.stamps.append(stamp_ns)
        self.commands.append(command)

    def _on_control(self, event):
        self.changes.append(event)

    def _on_episode(self, event):
        self.episode = event

    @property
    def tool(self):
        return CHAIN.pose(self.commands[-1], GRASP_FRAME)[:3, 3]

    def until(self, holds):
        assert self._spinner.spin_until(holds, graphs.PATIENCE_S), self.changes[-5:]

    def hears(self, duration_s):
        """Tell whether the arm was heard of, listening for a while."""
        return self._spinner.spin_until(lambda: bool(self.commands), duration_s)

    def until_control(self, source, word=""):
        self.until(lambda: self.changes and self._is(source, word))
        return self.changes[-1]

    def _is(self, source, word):
        return self.changes[-1].source is source and word in self.changes[-1].reason

    def until_tool(self, axis, least_m):
        """Wait until the tool has gone some way from where it is."""
        begin = self.tool
        self.until(lambda: (self.tool - begin)[axis] > least_m)

    def pause(self, duration_s):
        """Watch for a while of the arm's time."""
        began_ns = self.stamps[-1]
        self.until(lambda: self.stamps[-1] >= began_ns + nanoseconds(duration_s))

    def call(self, service, value=None):
        """Call a service as soon as it does what is asked."""
        refusals = []

        def is_done():
            try:
                return bool(self.client.call(service, value))
            except SessionError as refusal:
                refusals.append(str(refusal))
                return False

        graphs.wait_until(is_done, graphs.PATIENCE_S, lambda: f"{service}: {refusals[-1:]}")

    def until_episode(self, state):
        self.until(lambda: self.episode is not None and self.episode.state is state)

    def start_episode(self):
        """Start one by hand as soon as the policy has its checkpoint."""
        self.call("episode/start")
        self.until_episode(EpisodeState.RUNNING)

    def close(self):
        self.client.close()
        self._spinner.close()
        self._node.destroy_node()
        self._context.try_shutdown()
