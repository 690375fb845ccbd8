"""Teleop node: what the human wants, by gamepad, keyboard or leader arm, or by the script.

Owns the topics and the ticks. The scripted human of the simulation is in ``teleop_node.script``,
what a person holds in ``teleop_node.hand``. No learning is imported: a person takes over when
every learning process is dead.
"""

import sys
import time
from typing import Any

from rclpy.node import Node

from so101.episode import ControlSource
from so101.events import ControlEvent, EpisodeEvent
from so101.robot import so101
from so101.ros.convert import from_joint_command, to_header
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.interfaces import interface_class
from so101.ros.joy import from_joy
from so101.ros.observing import observe
from so101.ros.params import declare
from so101.ros.run import run
from so101.ros.timing import repeat
from so101.services import SERVICES
from so101.topics import (
    CONTROL_SOURCE,
    EPISODE,
    JOINT_COMMANDS,
    JOY,
    TELEOP_ALIVE,
    TELEOP_TRAJECTORY,
)
from teleop_node.guide import ArmWatch
from teleop_node.hand import Hand, make_hand, open_leader
from teleop_node.params import TeleopParams

ALIVE_PERIOD_S = 0.03
LOOK_PERIOD_S = 0.015
"""A device is looked at this often also while no command comes [s]."""

MOST_WORDS = 200


class TeleopNode(Node):
    """Says what the human wants."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters and create the interfaces."""
        super().__init__("teleop_node", **kwargs)
        self._params = params = declare(self, TeleopParams)
        self._endpoints = Endpoints(self)
        self._endpoints.offer(TELEOP_TRAJECTORY, TELEOP_ALIVE)
        self._newest_ns = 0
        self._hand: Hand | None = None
        self._asked: dict[str, Any] = {}
        if params.device == "scripted":
            self._play_script()
        else:
            self._hold(make_hand(params, so101(), open_leader))
        Health(self, self._endpoints)

    def _play_script(self) -> None:
        """Be the scripted human."""
        from teleop_node.script import Script  # the physics that only it needs

        self._script = script = Script(self._params)
        self._endpoints.hear(EPISODE, EpisodeEvent, self._on_script_episode)
        observe(self._endpoints, script.config, self._feed)
        repeat(self, ALIVE_PERIOD_S, self._on_script_alive)

    def _on_script_episode(self, event: EpisodeEvent) -> None:
        if self._script.on_episode(event):
            self._act()
        else:
            self._say_last_word(event)

    def _feed(self, topic: str, value: Any, stamp_ns: int, arrival_ns: int) -> None:
        self._newest_ns = max(self._newest_ns, stamp_ns)
        self._script.loop.feed(topic, value, stamp_ns, arrival_ns)
        self._act()

    def _act(self) -> None:
        trajectory = self._script.act()
        if trajectory is not None:
            self._endpoints.command(TELEOP_TRAJECTORY, trajectory)

    def _on_script_alive(self) -> None:
        if self._script.loop.facts is not None:
            self._endpoints.publish(TELEOP_ALIVE, to_header(self._newest_ns))

    def _hold(self, hand: Hand) -> None:
        """Be a person's hand."""
        self._hand, self._watch, self._word = hand, ArmWatch(), ""
        self._endpoints.listen(JOINT_COMMANDS, self._on_command)
        self._endpoints.hear(CONTROL_SOURCE, ControlEvent, self._watch.on_control)
        self._endpoints.hear(EPISODE, EpisodeEvent, self._on_episode)
        if self._params.device in ("joy", "keyboard"):
            self._endpoints.listen(JOY, self._on_joy)
        for name in ("intervention/take_over", "intervention/release"):
            kind = interface_class(SERVICES[name].type)
            self._asked[name] = self.create_client(kind, name)
        repeat(self, LOOK_PERIOD_S, self._on_look)
        repeat(self, ALIVE_PERIOD_S, self._on_alive)

    def _on_joy(self, message: Any) -> None:
        self._of_hand.on_sticks(from_joy(message), time.monotonic_ns())
        self._ask()

    def _on_episode(self, event: EpisodeEvent) -> None:
        self._watch.on_episode(event)
        self._say_last_word(event)

    def _on_command(self, message: Any) -> None:
        self._newest_ns, command = from_joint_command(message)
        now = self._watch.on_command(self._newest_ns, command, time.monotonic_ns())
        trajectory = self._of_hand.step(now)
        if trajectory is not None:
            self._endpoints.command(TELEOP_TRAJECTORY, trajectory)
        self._notice()
        self._ask()

    def _on_look(self) -> None:
        self._of_hand.look(time.monotonic_ns())
        self._notice()
        self._ask()

    def _on_alive(self) -> None:
        """Say that the hand can act, or why it cannot, as soon as it is asked to."""
        word = self._of_hand.word[:MOST_WORDS]
        self._endpoints.publish(TELEOP_ALIVE, to_header(self._newest_ns, word))
        hint = self._of_hand.guide.hint
        if hint and not word and self._watch.may_act:
            self.get_logger().info(hint, throttle_duration_sec=2.0)

    def _notice(self) -> None:
        """Say at once that the device is lost, or that it is back."""
        word = self._of_hand.word
        if bool(word) != bool(self._word):
            self._on_alive()
            self.get_logger().warning(word or f"the {self._params.device} is there")
        self._word = word

    def _ask(self) -> None:
        """Ask for what the person pressed a button for."""
        for name in self._of_hand.guide.asks():
            client = self._asked[name]
            if not client.service_is_ready():
                self.get_logger().error(f"{name}: nobody offers it")
                continue
            future = client.call_async(client.srv_type.Request())
            future.add_done_callback(lambda done: self.get_logger().info(done.result().message))

    @property
    def _of_hand(self) -> Hand:
        if self._hand is None:
            raise RuntimeError("the script has no hand")
        return self._hand

    def _say_last_word(self, event: EpisodeEvent) -> None:
        """Sign for the end of an episode of its own: the recorder waits for it."""
        if event.state.is_end and event.facts.source == ControlSource.TELEOP.value:
            self._endpoints.publish(TELEOP_ALIVE, to_header(event.stamp_ns))

    def destroy_node(self) -> None:
        """Close the device, too."""
        if self._hand is not None:
            self._hand.close()
        super().destroy_node()


def main() -> int:
    """Run the teleop node."""
    return run(TeleopNode)


if __name__ == "__main__":
    sys.exit(main())
