"""Camera node: the frames of one camera, stamped with when they were taken, or silence.

Publishes what the watchdog lets pass and says on ``diagnostics`` how the camera is doing. Where
frames come from is in the sources, what counts in ``camera_node.watchdog``.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rclpy.node import Node

from camera_node.camera import Camera, GoodFrame
from camera_node.devices import identity
from camera_node.params import CameraParams
from camera_node.source import FrameSource
from camera_node.source_choice import make_source, wanted_of
from camera_node.telling import status_event
from camera_node.view import load_views, save_view, suspicion, view_of
from camera_node.watchdog import CameraState, WatchdogConfig
from so101.arrays import ImageArray
from so101.camera_calibration import load_calibration
from so101.errors import BagError, ConfigError
from so101.images import decode_image
from so101.ros.camera_infos import calibrated_info
from so101.ros.convert import to_event, to_image
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.params import declare
from so101.ros.raw_images import to_raw_image
from so101.ros.run import run
from so101.ros.spin import Spinner
from so101.ros.timing import graph_clock, now_ns, repeat
from so101.topics import DIAGNOSTICS, camera_info_topic, image_topic, raw_image_topic

WAIT_S = 0.05
"""Longest wait for a frame before messages and signals are looked at [s]."""

REPORT_S = 1.0
LOOKS = 15
"""Frames before a view is judged or remembered: exposure settles meanwhile."""


class CameraNode(Node):
    """One camera."""

    def __init__(self, *, source: FrameSource | None = None, **kwargs: Any) -> None:
        """Declare parameters and create interfaces; the camera is opened later.

        Args:
            source: Stands in for the camera that the parameters name.
            kwargs: Of the node.
        """
        super().__init__("camera_node", **kwargs)
        self._params = params = declare(self, CameraParams)
        if not params.camera:
            raise ConfigError("camera: name the camera's id, such as wrist")
        self._size = (params.height, params.width)
        url = params.camera_info_url
        self._calibration = load_calibration(url, *self._size) if url else None
        self._views = load_views(Path(params.views)) if params.views else {}
        if (params.remember_view or params.refuse_swapped) and not params.views:
            raise ConfigError("views: name the directory of what cameras saw at set-up")
        config = WatchdogConfig(
            wanted=wanted_of(params),
            max_silence_s=params.max_silence,
            reopen_after_s=params.reopen_after,
        )
        self._camera = Camera(
            source or make_source(params), config, time.monotonic_ns, self.get_logger().info
        )
        self._frames = 0
        self._suspicion = ""
        self._state = CameraState.ABSENT
        self._endpoints = endpoints = Endpoints(self)
        endpoints.offer(image_topic(params.camera), camera_info_topic(params.camera))
        if params.raw_images:
            endpoints.offer(raw_image_topic(params.camera))
        Health(self, endpoints)
        repeat(self, REPORT_S, self._report)

    def capture(self, spinner: Spinner) -> None:
        """Deliver frames until stopped."""
        while not spinner.is_stopped:
            self.step()
            if self._camera.is_open:
                spinner.drain()
            else:
                spinner.spin_for(WAIT_S)

    def step(self) -> None:
        """Wait a moment for the next frame and publish it if it is good."""
        good = self._camera.step(WAIT_S)
        if good is not None:
            self._frames += 1
            if self._frames == LOOKS and self._params.views:
                self._look(good)
            if not self._is_refused:
                self._publish(good)
        if not self._camera.is_open:
            self._frames, self._suspicion = 0, ""  # whoever comes back is looked at again
        if self._camera.report().state is not self._state:
            self._report()

    @property
    def _is_refused(self) -> bool:
        return self._params.refuse_swapped and (bool(self._suspicion) or not self._is_compared)

    @property
    def _is_compared(self) -> bool:
        """Whether it was looked at, where there is something to compare it with."""
        has_view = self._params.camera in self._views and not self._params.remember_view
        return self._frames >= LOOKS or not has_view

    def _publish(self, good: GoodFrame) -> None:
        camera, endpoints = self._params.camera, self._endpoints
        stamp_ns = graph_clock().at(good.frame.captured_ns)  # as the arm's
        endpoints.publish(image_topic(camera), to_image(stamp_ns, camera, good.jpeg.data))
        info = calibrated_info(stamp_ns, camera, self._size, self._calibration)
        endpoints.publish(camera_info_topic(camera), info)
        if self._params.raw_images:
            pixels = self._pixels(good)
            if pixels is not None:
                endpoints.publish(raw_image_topic(camera), to_raw_image(stamp_ns, camera, pixels))

    def _pixels(self, good: GoodFrame) -> ImageArray | None:
        """Return the RGB image of a frame; None, and a warning, where it cannot be decoded."""
        if good.frame.pixels is not None:
            return good.frame.pixels
        try:
            return decode_image(good.jpeg.data)
        except BagError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=1.0)
            return None

    def _look(self, good: GoodFrame) -> None:
        """Remember what the camera sees, or compare it with what it saw."""
        pixels = self._pixels(good)
        if pixels is None:
            self._frames -= 1  # the next one, then
            return
        name = identity(self._params.device) if self._params.device else ""
        view = view_of(self._params.camera, name, pixels)
        if self._params.remember_view:
            path = save_view(Path(self._params.views), view)
            self.get_logger().info(f"this view is remembered in {path}")
            return
        self._suspicion = suspicion(view, self._views)
        if self._suspicion:
            self.get_logger().error(f"swapped cameras? {self._suspicion}")
        self._report()

    def _report(self) -> None:
        status = self._camera.report()
        self._state = status.state
        is_refused = bool(self._suspicion) and self._params.refuse_swapped
        event = status_event(
            self.get_name(),
            status,
            self._suspicion,
            now_ns(self),
            is_refused=is_refused,
            is_compared=self._is_compared,
        )
        event = replace(event, hardware_id=self._params.device)
        self._endpoints.publish(DIAGNOSTICS, to_event(event))

    def destroy_node(self) -> None:
        """Let go of the camera, too."""
        self._camera.close()
        super().destroy_node()


def main() -> int:
    """Run a camera node."""
    return run(CameraNode, loop=lambda node, spinner: node.capture(spinner))


if __name__ == "__main__":
    sys.exit(main())
