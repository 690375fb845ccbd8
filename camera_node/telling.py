"""How a camera is doing, as an event for `diagnostics`. Pure."""

from camera_node.watchdog import CameraState, CameraStatus
from so101.events import ERROR, OK, WARN, Event, encode


def status_event(
    node: str, status: CameraStatus, suspicion: str, stamp_ns: int, *, is_refused: bool
) -> Event:
    """Return the report of a camera.

    Args:
        node: Name of the node.
        status: How the camera is doing.
        suspicion: Why it may be another camera; empty for no reason.
        stamp_ns: Now [ns].
        is_refused: Its frames are kept back because of the suspicion.
    """
    is_live = status.state is CameraState.LIVE
    level = OK if is_live and not status.is_slow and not suspicion else WARN
    if not is_live and status.state is not CameraState.STARTING:
        level = ERROR
    if is_refused:
        level = ERROR
    words = status.state.value + (f": {status.reason}" if status.reason else "")
    if suspicion:
        words += f"; swapped? {suspicion}"
    if is_refused:
        words += "; nothing is published"
    return Event(
        stamp_ns=stamp_ns,
        name=f"{node}: camera",
        message=words,
        level=level,
        values={
            "state": status.state.value,
            "rate [Hz]": encode(round(status.rate_hz, 1)),
            "age [s]": encode(round(status.age_s, 3)),
            **{name: encode(count) for name, count in status.counts.items()},
        },
    )
