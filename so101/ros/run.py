"""The one ``main()`` of every node: start, spin, end cleanly, and say what went wrong in one line.

Exit codes: 0 after SIGINT or SIGTERM, 2 for a configuration or an environment that the user can
put right, 1 for a bug (with its traceback).
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import TypeVar

import rclpy
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from so101.errors import ConfigError, So101Error
from so101.ros.params import check_files
from so101.ros.spin import Spinner
from so101.ros.timing import graph_clock

N = TypeVar("N", bound=Node)

USER_ERROR = 2

SAME_WISH_S = 1.0
"""Signals so soon after the first are the same wish [s]: a terminal gives Ctrl-C to every process,
and launch passes it on to them."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ROS_ARGUMENT_ERRORS = (_rclpy.RCLError, _rclpy.UnknownROSArgsError, _rclpy.RCLInvalidROSArgsError)


def run(
    make_node: Callable[[], N],
    args: Sequence[str] | None = None,
    loop: Callable[[N, Spinner], None] | None = None,
) -> int:
    """Run a node until SIGINT or SIGTERM.

    Both signals only ask the spinner to stop, so that no callback is torn apart and the node may
    still publish and write while it is destroyed. One that comes `SAME_WISH_S` later interrupts
    whatever hangs. This is the last thing that a process does: both are ignored afterwards.

    Args:
        make_node: Makes the node: parameters and interfaces only, nothing that blocks.
        args: Command line with ROS arguments; None for the process's own.
        loop: Runs instead of plain spinning, for a node that owns its loop; it returns when
            ``spinner.is_stopped``.

    Returns:
        The exit code.
    """
    argv = list(sys.argv if args is None else args)
    interruption = _Interruption()
    try:
        check_files(argv)
        graph_clock()  # taken first, and refused before there is a node
        _init(argv)
        try:
            return _run(make_node, loop)
        finally:
            with suppress(AttributeError):  # it destroys the nodes, also half-made ones
                rclpy.try_shutdown()
    except BaseException as error:
        # Before the node was there: what is torn apart may raise anything, as imports do.
        if interruption.has_come:
            _ignore_signals()
            return 0
        if not isinstance(error, So101Error):
            raise
        sys.stderr.write(f"{_program(argv[0])}: error: {' '.join(str(error).split())}\n")
        return USER_ERROR


class _Interruption:
    """Remembers whether Ctrl-C came, whatever became of its KeyboardInterrupt."""

    def __init__(self) -> None:
        self.has_come = False
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as of a shell's background
            signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.has_come = True
        raise KeyboardInterrupt


def _init(argv: list[str]) -> None:
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
    except _ROS_ARGUMENT_ERRORS as error:
        raise ConfigError(f"ROS arguments: {error}") from None
    unknown = remove_ros_args(argv)[1:]
    if unknown:
        rclpy.try_shutdown()
        raise ConfigError(f"unknown argument {unknown[0]!r}; parameters follow --ros-args -p")


def _program(path: str) -> str:
    """Return the executable's name, also when it was started as ``python -m policy_node.node``."""
    name = os.path.basename(path)
    return os.path.basename(os.path.dirname(path)) if name == "node.py" else name


def _run(
    make_node: Callable[[], N],
    loop: Callable[[N, Spinner], None] | None,
) -> int:
    node = make_node()
    spinner = Spinner(node)
    _stop_on_signals(spinner)
    try:
        try:
            if loop is None:
                spinner.spin()
            else:
                loop(node, spinner)
        finally:
            spinner.close()
            node.destroy_node()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted twice: ended in the middle of its work\n")
    finally:
        _ignore_signals()
    return 0


def _stop_on_signals(spinner: Spinner) -> None:
    first_s: float | None = None

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal first_s
        now_s = time.monotonic()
        if first_s is None:
            first_s = now_s
            spinner.stop()
        elif now_s - first_s > SAME_WISH_S:
            raise KeyboardInterrupt

    for number in _SIGNALS:
        signal.signal(number, on_signal)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
