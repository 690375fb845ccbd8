"""The images of one observation: compressed as they came, decoded when somebody looks.

Whoever only passes JPEGs on never pays for their pixels; whoever looks twice pays once.
"""

import threading
from collections.abc import Iterator, Mapping

from so101.arrays import ImageArray
from so101.errors import BagError
from so101.images import decode_image
from so101.topics import image_topic


class CameraImage:
    """One image of a camera.

    `pixels` may be asked for from several threads: one decodes, the others wait for it.

    Attributes:
        camera: Camera id.
        jpeg: The compressed image as the camera sent it.
        size: Height and width that it is decoded to [px]; (0, 0) as recorded.
    """

    def __init__(self, camera: str, jpeg: bytes, size: tuple[int, int]) -> None:
        """Decode nothing yet."""
        self.camera = camera
        self.jpeg = jpeg
        self.size = size
        self._lock = threading.Lock()
        self._pixels: ImageArray | None = None

    def pixels(self) -> ImageArray:
        """Return the RGB image, uint8 of shape (height, width, 3). Nobody may write to it.

        Raises:
            BagError: It cannot be decoded.
        """
        with self._lock:
            if self._pixels is None:
                try:
                    pixels = decode_image(self.jpeg, self.size)
                except BagError as error:
                    raise BagError(f"{image_topic(self.camera).name}: {error}") from error
                pixels.setflags(write=False)
                self._pixels = pixels
            return self._pixels


class CameraImages(Mapping[str, ImageArray]):
    """Camera id to RGB image, uint8 of shape (height, width, 3), decoded at the first look.

    Looking raises `so101.errors.BagError` when the image cannot be decoded.
    """

    def __init__(self, images: Mapping[str, CameraImage]) -> None:
        """Take images by camera id."""
        self._images = dict(images)

    def __getitem__(self, camera: str) -> ImageArray:
        """Return the pixels of a camera."""
        return self._images[camera].pixels()

    def __contains__(self, camera: object) -> bool:
        """Tell whether a camera has an image, without decoding it."""
        return camera in self._images

    def __iter__(self) -> Iterator[str]:
        """Go through the camera ids."""
        return iter(self._images)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)
