"""The keyboard as a gamepad: run it in a terminal beside a graph, it publishes ``joy``.

``joy_keyboard``, or ``ros2 run so101_bringup joy_keyboard``; for a robot in a namespace with
``--ros-args -r __ns:=/robot1``. It says the state of the keys 30 times a second; when it ends, it
is silent, and the arm holds.
"""

import sys
import time
from typing import Any

from rclpy.node import Node

from so101.devices.keyboard import END, HELP, Keys, read_keys, single_keys
from so101.errors import ConfigError
from so101.ros.endpoints import Endpoints
from so101.ros.joy import to_joy
from so101.ros.run import run
from so101.ros.spin import Spinner
from so101.ros.timing import graph_clock
from so101.topics import JOY

PERIOD_S = 1.0 / 30.0


class JoyKeyboard(Node):
    """Publishes keys as sticks."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the interfaces.

        Raises:
            ConfigError: It was not started in a terminal.
        """
        super().__init__("joy_keyboard", **kwargs)
        if not sys.stdin.isatty():
            raise ConfigError("joy_keyboard: its input is no terminal; start it by hand in one")
        self._endpoints = Endpoints(self)
        self._endpoints.offer(JOY)

    def play(self, spinner: Spinner) -> None:
        """Publish keys until the person ends it, or its terminal is gone."""
        keys, descriptor = Keys(), sys.stdin.fileno()
        sys.stdout.write(f"{HELP}\n")
        sys.stdout.flush()
        with single_keys(descriptor):
            while not spinner.is_stopped:
                data = read_keys(descriptor, PERIOD_S)
                if data is None or END.encode() in data:
                    return
                now_s = time.monotonic()
                keys.press(data, now_s)
                self._endpoints.publish(JOY, to_joy(graph_clock().now_ns(), keys.sticks(now_s)))
                spinner.spin_once(0.0)


def main() -> int:
    """Run it."""
    return run(JoyKeyboard, loop=lambda node, spinner: node.play(spinner))


if __name__ == "__main__":
    sys.exit(main())
