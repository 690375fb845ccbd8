"""Checks of the cameras: what is plugged in, and whether those that a file names deliver."""

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from camera_node.camera import Camera, GoodFrame
from camera_node.devices import StableName
from camera_node.kernel import Kernel
from camera_node.source import Wanted
from camera_node.v4l2_offers import Offer, look_up
from camera_node.watchdog import CameraState, CameraStatus
from so101.clock import nanoseconds
from so101.errors import ConfigError
from so101_bringup.doctor.finding import Finding

WATCHED_S = 2.5
"""A camera starts within a second; its rate is counted over the one after that [s]."""
_WAIT_S = 0.01
_ADVICE = {
    CameraState.ABSENT: "plug it in, end what uses it, or name the right device in your file",
    CameraState.FROZEN: "plug it out and in; look at its cable",
    CameraState.DAMAGED: "another cable or USB socket; ask for a smaller size or rate",
}
_SLOW = "give it a USB socket of its own, and light: in the dark many cameras expose longer"


@dataclass(frozen=True, kw_only=True)
class Device:
    """A camera that is plugged in.

    Attributes:
        name: Its stable name; by id where it has one.
        offer: What it offers; None where it does not say.
        problem: Why not; empty when it does.
    """

    name: str
    offer: Offer | None = None
    problem: str = ""


def look_around(names: Sequence[StableName], kernel: Kernel) -> list[Device]:
    """Return the cameras behind stable names, each once.

    Args:
        names: By-id first, as `camera_node.devices.stable_names` returns them.
        kernel: System calls.
    """
    first = {name.target: name for name in reversed(names)}
    found = []
    for name in (one for one in names if first[one.target] is one):
        try:
            offer = look_up(kernel, str(name.target))
        except OSError as error:
            is_right = error.errno in (errno.EACCES, errno.EPERM)
            problem = "may not be opened" if is_right else str(error.strerror or error)
            found.append(Device(name=str(name.path), problem=problem))
            continue
        if offer.delivers_video:
            found.append(Device(name=str(name.path), offer=offer))
    return found


def check_devices(devices: Sequence[Device]) -> list[Finding]:
    """See that every camera that is plugged in can be used."""
    if not devices:
        return [Finding("cameras", "none is plugged in; a simulated robot needs none")]
    return [_check_device(device) for device in devices]


def _check_device(device: Device) -> Finding:
    if device.offer is None:
        advice = "sudo usermod -aG video $USER, then log out and in; or plug it out and in"
        return Finding("cameras", f"{device.name}: {device.problem}", advice)
    formats = device.offer.formats
    mjpg = [one for one in formats.split("; ") if one.startswith("MJPG")]
    text = f"{device.name} ({device.offer.card}): {'; '.join(mjpg) or formats}"
    return Finding("cameras", text, "" if mjpg else "no Motion-JPEG: it needs backend: opencv")


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What became of a camera that was watched.

    Attributes:
        status: How it is doing at the end.
        good: Its last good frame, or None.
        refusal: Why it does not do what is asked of it; empty when it does.
    """

    status: CameraStatus
    good: GoodFrame | None
    refusal: str = ""


def watch(
    cameras: Mapping[str, Camera], now_ns: Callable[[], int], span_s: float = WATCHED_S
) -> dict[str, Watched]:
    """Run cameras side by side, as they will: two of them may share what one could have.

    Args:
        cameras: By id; closed afterwards.
        now_ns: The monotonic clock [ns].
        span_s: How long [s].
    """
    good: dict[str, GoodFrame] = {}
    refusals: dict[str, str] = {}
    end_ns = now_ns() + nanoseconds(span_s)
    is_open = True
    while is_open and now_ns() < end_ns:
        for name, camera in cameras.items():
            try:
                frame = None if name in refusals else camera.step(_WAIT_S)
            except ConfigError as error:
                refusals[name] = str(error)
                continue
            if frame is not None:
                good[name] = frame
        is_open = any(camera.is_open for camera in cameras.values())
    found = {
        name: Watched(status=camera.report(), good=good.get(name), refusal=refusals.get(name, ""))
        for name, camera in cameras.items()
    }
    for camera in cameras.values():
        camera.close()
    return found


def check_camera(camera: str, wanted: Wanted, watched: Watched) -> Finding:
    """See that a camera delivers what is asked of it.

    Args:
        camera: Its id.
        wanted: Size and rate.
        watched: What became of it.
    """
    name, status = f"camera {camera}", watched.status
    numbers = {"rate_hz": status.rate_hz, **status.counts}
    if watched.refusal:
        return Finding(name, watched.refusal, "change its section in your file", numbers)
    if status.state is not CameraState.LIVE:
        words = f"{status.state.value}: {status.reason}"
        return Finding(name, words, _ADVICE.get(status.state, "plug it out and in"), numbers)
    text = f"asked for {wanted}, gives {status.rate_hz:.1f} Hz"
    return Finding(name, text, _SLOW if status.is_slow else "", numbers)


def check_order(camera: str, suspicion: str, *, is_remembered: bool) -> Finding:
    """See that a camera is the one that it was when it was set up.

    Args:
        camera: Its id.
        suspicion: What `camera_node.view.suspicion` says.
        is_remembered: There is something to compare with.
    """
    name = f"view {camera}"
    if suspicion:
        advice = "swap the plugs, or the devices in your file; moved on purpose: remember_view"
        return Finding(name, suspicion, advice)
    if not is_remembered:
        return Finding(name, "not compared: nothing is remembered (views, remember_view)")
    return Finding(name, "nothing speaks for another camera than at set-up")
