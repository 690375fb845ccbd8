"""How a camera is doing, as an event for `diagnostics`. Pure."""

from camera_node.watchdog import CameraState, CameraStatus
from so101.events import ERROR, OK, WARN, Event, encode
from so101.objections import NO_ARMING, NO_EPISODE

ADVICE = (
    "swap the two plugs, or the devices in your parameter file; where that is on purpose, start "
    "the camera once with remember_view"
)


def status_event(
    node: str,
    status: CameraStatus,
    suspicion: str,
    stamp_ns: int,
    *,
    is_refused: bool,
    is_compared: bool = True,
) -> Event:
    """Return the report of a camera.

    Args:
        node: Name of the node.
        status: How the camera is doing.
        suspicion: Why it may be another camera; empty for no reason.
        stamp_ns: Now [ns].
        is_refused: Its frames are kept back because of the suspicion.
        is_compared: It was compared with what it saw at set-up, or there is nothing to compare.
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
            NO_EPISODE: _against_episodes(status, suspicion),
            NO_ARMING: _against_arming(status, suspicion, is_compared=is_compared),
        },
    )


def _against_episodes(status: CameraStatus, suspicion: str) -> str:
    """Say why no episode may begin, in words that stay the same while the reason does."""
    if suspicion:
        return f"{suspicion}; {ADVICE}"
    if status.state is CameraState.ABSENT:
        return f"absent: {status.reason}"
    return "" if status.state is CameraState.LIVE else "gives no good pictures"


def _against_arming(status: CameraStatus, suspicion: str, *, is_compared: bool) -> str:
    """Say why the arm may not be armed: views that were swapped, also where nobody knows yet."""
    if suspicion:
        return f"{suspicion}; {ADVICE}"
    will_be = status.state in (CameraState.STARTING, CameraState.LIVE)
    if will_be and not is_compared:
        return "is being compared with what it saw at set-up; ask again in a second"
    return ""
