"""The person of `benchmarks/guarantees.py`: hears the arm, and asks things of it as people do."""

import time
from collections.abc import Callable
from typing import Any

from parts.guarantee_wave import OFF_WAVE_RAD, Wave
from rclpy.context import Context
from rclpy.node import Node

from so101.arrays import FloatArray
from so101.episode import EpisodeFacts, EpisodeState
from so101.events import ControlEvent, EpisodeEvent, from_message
from so101.ros.convert import from_joint_command
from so101.ros.endpoints import Endpoints
from so101.ros.interfaces import interface_class
from so101.ros.spin import Spinner
from so101.services import SERVICES
from so101.topics import ARM_STATE, CONTROL_SOURCE, EPISODE, JOINT_COMMANDS

PATIENCE_S = 40.0
ANSWER_S = 3.0
ON_WAVE = 12
"""So many commands on the wave are following it."""


class DisturbedError(Exception):
    """The machine was too busy for the twin to answer, so the driver was at fault, rightly."""


class Person:
    """Listens to the arm, keeps what it heard and when, and asks things of it."""

    def __init__(self, domain: int) -> None:
        """Join the graph."""
        self.commands: list[tuple[int, FloatArray]] = []
        self.modes: list[tuple[str, int]] = []
        self.controls: list[ControlEvent] = []
        self._context = Context()
        self._context.init(args=[], domain_id=domain)
        self._node = Node("person", context=self._context, use_global_arguments=False)
        self._endpoints = endpoints = Endpoints(self._node)
        endpoints.offer(EPISODE)
        endpoints.listen(JOINT_COMMANDS, lambda m: self.commands.append(from_joint_command(m)))
        endpoints.listen(ARM_STATE, self._on_mode)
        endpoints.hear(CONTROL_SOURCE, ControlEvent, self.controls.append)
        self._clients = {
            name: self._node.create_client(interface_class(SERVICES[name].type), name)
            for name in ("arm/arm", "arm/estop", "arm/torque", "arm/recover")
        }
        self._spinner = Spinner(self._node)

    def _on_mode(self, message: Any) -> None:
        self.modes.append((from_message(message).message, time.monotonic_ns()))

    @property
    def mode(self) -> str:
        """What the arm was last heard to be."""
        return self.modes[-1][0] if self.modes else ""

    def is_on(self, wave: Wave) -> bool:
        """Tell whether the newest commands are a wave's."""
        newest = self.commands[-ON_WAVE:]
        return len(newest) == ON_WAVE and max(wave.off(*one) for one in newest) < OFF_WAVE_RAD

    def spin(self, duration_s: float) -> None:
        """Listen for a while."""
        self._spinner.spin_for(duration_s)

    def until(self, holds: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
        """Listen until something holds."""
        if not self._spinner.spin_until(holds, timeout_s):
            raise SystemExit(f"in vain: {what}; the arm is {self.mode!r}, {self.controls[-1:]}")

    def call(self, name: str, value: bool | None = None) -> Any:
        """Send a request; return its future."""
        client: Any = self._clients[name]
        request = client.srv_type.Request()
        if value is not None:
            request.data = value
        return client.call_async(request)

    def ask(self, name: str, value: bool | None = None) -> bool:
        """Ask for something and tell whether it was done; a driver that is gone says nothing."""
        future = self.call(name, value)
        return self._spinner.spin_until(future.done, ANSWER_S) and bool(future.result().success)

    def undisturbed(self) -> None:
        """Look whether the arm is at fault.

        Raises:
            DisturbedError: It is, though nobody did anything to its bus.
        """
        if self.mode == "fault":
            raise DisturbedError

    def arm(self) -> None:
        """Arm the arm, whatever had happened to it."""
        end_s = time.monotonic() + PATIENCE_S
        while not self.ask("arm/arm", True):
            if time.monotonic() > end_s:
                raise SystemExit(f"the arm cannot be armed; it is {self.mode!r}")
            self.ask("arm/recover")
            self.spin(0.02)
        self.until(lambda: self.mode in ("holding", "armed"), "the arm holds")

    def begin_episode(self, number: int) -> None:
        """Let the policy act."""
        facts = EpisodeFacts(id=f"trial-{number}", source="policy")
        event = EpisodeEvent(
            stamp_ns=self.commands[-1][0], state=EpisodeState.RUNNING, facts=facts
        )
        self._endpoints.tell(EPISODE, event)

    def forget(self) -> None:
        """Forget what was heard, but for the present mode."""
        del self.commands[:], self.modes[:-1], self.controls[:-1]

    def close(self) -> None:
        """Leave the graph."""
        self._spinner.close()
        self._node.destroy_node()
        self._context.try_shutdown()
