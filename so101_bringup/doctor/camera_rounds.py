"""Runs the cameras that a parameter file names: how does each do, and is it the right one?"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from camera_node.camera import Camera, GoodFrame
from camera_node.devices import identity
from camera_node.params import CameraParams
from camera_node.source_choice import make_source, wanted_of
from camera_node.view import load_views, suspicion, view_of
from camera_node.watchdog import WatchdogConfig
from so101.errors import BagError, ConfigError
from so101.images import decode_image
from so101_bringup.doctor.cameras import WATCHED_S, check_camera, check_order, watch
from so101_bringup.doctor.finding import Finding


def watch_named(named: Mapping[str, CameraParams], where: str) -> Iterator[Finding]:
    """Yield what is found about each camera.

    Args:
        named: What a file asks of them, by camera id.
        where: The file, for messages.
    """
    if not named:
        advice = "give each a section <name>_camera with its device (docs/guides/cameras.md)"
        yield Finding("params file", f"{where} names no camera", advice)
    cameras = {}
    for name, params in named.items():
        try:
            cameras[name] = _camera(params)
        except ConfigError as error:
            yield Finding(f"camera {name}", str(error), f"change its section in {where}")
    for name, watched in watch(cameras, time.monotonic_ns).items():
        params = named[name]
        yield check_camera(name, wanted_of(params), watched)
        if watched.good is not None:
            yield _order(params, watched.good)


def _camera(params: CameraParams) -> Camera:
    config = WatchdogConfig(
        wanted=wanted_of(params),
        max_silence_s=params.max_silence,
        reopen_after_s=2.0 * WATCHED_S,  # a camera that is stuck is told of as that
    )
    return Camera(make_source(params), config, time.monotonic_ns, lambda words: None)


def _order(params: CameraParams, good: GoodFrame) -> Finding:
    try:
        remembered = load_views(Path(params.views)) if params.views else {}
        pixels = good.frame.pixels
        if pixels is None:
            pixels = decode_image(good.jpeg.data)
    except (BagError, ConfigError) as error:
        return check_order(params.camera, str(error), is_remembered=False)
    name = identity(params.device) if params.device else ""
    words = suspicion(view_of(params.camera, name, pixels), remembered)
    return check_order(params.camera, words, is_remembered=params.camera in remembered)
