"""Capture times of a driver's monotonic clock as stamps of the ROS clock. Pure."""

from collections.abc import Callable

TRIES = 3
CLOSE_NS = 100_000
"""Two readings of the monotonic clock this close around one of the ROS clock are good enough."""


def to_ros_ns(captured_ns: int, monotonic_ns: Callable[[], int], ros_ns: Callable[[], int]) -> int:
    """Return the ROS time of a moment of the monotonic clock [ns].

    The two clocks are read as one: where the process is held up between the readings it tries
    again, and takes the closest. The difference is measured for every frame, so a ROS clock that
    is set anew is followed at once.

    Args:
        captured_ns: The moment [ns, monotonic].
        monotonic_ns: Reads the monotonic clock.
        ros_ns: Reads the ROS clock.
    """
    best: tuple[int, int] | None = None
    for _ in range(TRIES):
        before_ns, ros, after_ns = monotonic_ns(), ros_ns(), monotonic_ns()
        apart_ns = after_ns - before_ns
        if best is None or apart_ns < best[0]:
            best = apart_ns, ros - (before_ns + after_ns) // 2
        if apart_ns <= CLOSE_NS:
            break
    return captured_ns + (0 if best is None else best[1])
