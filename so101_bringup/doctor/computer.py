"""Checks of the computer. Each is given what it needs, so that a test can be any computer."""

from collections.abc import Callable, Mapping

from so101_bringup.doctor.finding import Finding

NEEDED = ("rclpy", "sensor_msgs", "numpy", "mujoco", "cv2", "serial", "mcap")
LEAST_FREE = 5e9
"""Below this a session with cameras is soon over [bytes]."""
_DOMAINS = range(102)
"""Above these, ports of DDS meet those of outgoing connections on Linux."""
_RANGES = ("LOCALHOST", "SUBNET", "OFF", "SYSTEM_DEFAULT")


def check_modules(has: Callable[[str], bool]) -> Finding:
    """See that what every session imports is installed.

    Args:
        has: Tells whether a module can be imported.
    """
    missing = [name for name in NEEDED if not has(name)]
    if missing:
        return Finding("packages", f"missing: {', '.join(missing)}", "run make rl or make test")
    return Finding("packages", "ROS 2 and everything else is installed")


def check_disk(path: str, free: float) -> Finding:
    """See that there is room for recording.

    Args:
        path: Where bags go.
        free: Room there [bytes].
    """
    text = f"{free / 1e9:.1f} GB free at {path}"
    few = f"make room, or record elsewhere with --store: {LEAST_FREE / 1e9:.0f} GB are little"
    return Finding("disk", text, few if free < LEAST_FREE else "")


def check_ros(environ: Mapping[str, str]) -> Finding:
    """See that ROS's variables say what they can.

    What so101 starts has the range of its option ``discovery``, by default this computer; other
    programs go by the variable.
    """
    domain = environ.get("ROS_DOMAIN_ID", "0") or "0"
    if not domain.isdecimal() or int(domain) not in _DOMAINS:
        return Finding(
            "ROS domain", f"ROS_DOMAIN_ID is {domain!r}", f"set it to 0 to {_DOMAINS[-1]}"
        )
    name = "ROS_AUTOMATIC_DISCOVERY_RANGE"
    reach = environ.get(name) or "SUBNET"
    if reach not in _RANGES:
        return Finding("ROS domain", f"{name} is {reach!r}", f"set it to one of {_RANGES}")
    tools = f"; ROS tools of this shell use {reach}" if reach != "LOCALHOST" else ""
    return Finding("ROS domain", f"domain {int(domain)}; so101 stays on this computer{tools}")


def check_clock(now_s: float, installed_s: float) -> Finding:
    """See that the clock is set: it cannot be before this software was installed.

    Args:
        now_s: The computer's clock [s].
        installed_s: When its newest file was written, by the same clock [s].
    """
    if now_s < installed_s:
        days = (installed_s - now_s) / 86400.0
        text = f"{days:.1f} days before this software was installed"
        return Finding("clock", text, "set the clock; bags are named and joined by it")
    return Finding("clock", "set")


def check_gl(backend: str | None) -> Finding:
    """See that cameras can be simulated.

    Args:
        backend: What was found to draw with; None for nothing.
    """
    if backend is None:
        needed = "install libegl1 libegl-mesa0 libgl1-mesa-dri, or use --state"
        return Finding("OpenGL", "no off-screen OpenGL", needed)
    return Finding("OpenGL", backend)
