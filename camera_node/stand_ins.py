"""Cameras without a camera: recorded images and drawn ones, at the pace of a real one."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from camera_node.source import Frame, Wanted
from so101.arrays import ImageArray
from so101.clock import NS_PER_S
from so101.data.bags.bag import open_bag
from so101.data.bags.messages import decode
from so101.errors import BagError, ConfigError, HardwareError
from so101.images import encode_jpeg
from so101.topics import COMPRESSED_IMAGE

_ENDINGS = (".jpg", ".jpeg")


class Paced:
    """Delivers images one period after the other; see `camera_node.source.FrameSource`.

    Whoever reads late gets the image whose time has come; the ones before are lost.
    """

    def __init__(
        self,
        make: Callable[[], tuple[str, Iterator[bytes]]],
        rate_hz: int,
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open nothing yet.

        Args:
            make: Opens what is delivered; returns its name and JPEGs without end.
            rate_hz: Images per second.
            now_ns: The monotonic clock [ns].
            sleep: Waits for some time [s].
        """
        self._make = make
        self._period_ns = NS_PER_S // rate_hz
        self._now_ns = now_ns
        self._sleep = sleep
        self._jpegs: Iterator[bytes] | None = None
        self._next_ns = 0

    def open(self) -> str:
        """Begin with the first image.

        Raises:
            HardwareError: There is nothing of this name.
            ConfigError: It holds no images.
        """
        words, self._jpegs = self._make()
        self._next_ns = self._now_ns()
        return words

    def read(self, timeout_s: float) -> Frame | None:
        """Return the image whose time has come; None when there is none in time.

        Raises:
            HardwareError: It is not open.
        """
        if self._jpegs is None:
            raise HardwareError("not open")
        wait_s = (self._next_ns - self._now_ns()) / NS_PER_S
        if wait_s > 0:
            self._sleep(min(wait_s, timeout_s))
        late_ns = self._now_ns() - self._next_ns
        if late_ns < 0:
            return None
        lost = late_ns // self._period_ns
        captured_ns = self._next_ns + lost * self._period_ns
        self._next_ns = captured_ns + self._period_ns
        for _ in range(lost):
            next(self._jpegs)
        return Frame(jpeg=next(self._jpegs), captured_ns=captured_ns, lost=lost)

    def close(self) -> None:
        """Forget the images."""
        self._jpegs = None


def recorded(path: Path, topic: str) -> tuple[str, Iterator[bytes]]:
    """Return the JPEGs of a directory, a bag or a video, over and over.

    Args:
        path: A directory of .jpg files, taken in the order of their names; a bag; or a video,
            whose pictures are compressed.
        topic: Relative name of the image topic in a bag, in any namespace.

    Raises:
        HardwareError: There is nothing of this name.
        ConfigError: It holds no images.
    """
    if not path.exists():
        raise HardwareError(f"{path}: no such directory, bag or video")
    jpegs = _images_of(path, topic)
    if not jpegs:
        raise ConfigError(f"device: {path} holds no images")
    return f"{len(jpegs)} images of {path}", cycle(jpegs)


def _images_of(path: Path, topic: str) -> Sequence[bytes]:
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix.lower() in _ENDINGS)
        if files:
            return [one.read_bytes() for one in files]
    if path.is_dir() or path.suffix in (".mcap", ".db3", ".zstd"):
        return _images_of_bag(path, topic)
    return _images_of_video(path)


def _images_of_bag(path: Path, topic: str) -> Sequence[bytes]:
    try:
        bag = open_bag(path)
        named = [name for name in bag.types if f"/{name.lstrip('/')}".endswith(f"/{topic}")]
        messages = bag.messages(named)
        return [bytes(decode(m.data, COMPRESSED_IMAGE, m.topic).data) for m in messages]
    except BagError as error:
        raise ConfigError(f"device: {error}") from error


def _images_of_video(path: Path) -> Sequence[bytes]:
    video = cv2.VideoCapture(str(path))
    jpegs: list[bytes] = []
    try:
        while True:
            is_there, image = video.read()
            if not is_there:
                return jpegs
            jpegs.append(encode_jpeg(np.asarray(image, dtype=np.uint8)[:, :, ::-1]))
    finally:
        video.release()


def drawn(wanted: Wanted, quality: int, seed: int) -> tuple[str, Iterator[bytes]]:
    """Return JPEGs of a bar that wanders over noise: a picture that never stands still.

    Args:
        wanted: Size and rate.
        quality: Of the JPEGs, 1 to 100.
        seed: Of the noise; two cameras with the same one see the same.
    """
    return f"drawn images, {wanted}", _draw(wanted, quality, np.random.default_rng(seed))


def _draw(wanted: Wanted, quality: int, rng: np.random.Generator) -> Iterator[bytes]:
    bar, at = max(1, wanted.width // 16), 0
    while True:
        image: ImageArray = rng.integers(96, 128, (wanted.height, wanted.width, 3), dtype=np.uint8)
        image[:, at : at + bar] = 230
        at = (at + bar // 2 + 1) % wanted.width
        yield encode_jpeg(image, quality)
