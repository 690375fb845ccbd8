"""Decodes camera images while their observation is still being waited for.

Which images are worth it is for the caller to say; `so101.acting` begins those that the due
decision will use. What was not begun is decoded when somebody looks, to the same pixels.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from so101.camera_images import CameraImage
from so101.errors import BagError


class EarlyDecoder:
    """Decodes in threads of its own: the decoder releases the interpreter while it works.

    `begin` and `take` belong to one thread.
    """

    def __init__(self, cameras: Sequence[str]) -> None:
        """Prepare one thread per camera, started when first needed.

        Args:
            cameras: Camera ids.
        """
        self._pool = ThreadPoolExecutor(max(1, len(cameras)), thread_name_prefix="decode")
        self._begun: dict[str, CameraImage] = {}

    def begin(self, camera: str, jpeg: bytes, size: tuple[int, int]) -> None:
        """Start to decode an image; of each camera the last one is remembered.

        Args:
            camera: Camera id.
            jpeg: The compressed image.
            size: Height and width [px]; (0, 0) as recorded.
        """
        image = self._begun[camera] = CameraImage(camera, jpeg, size)
        self._pool.submit(_decode, image)

    def take(self, camera: str, jpeg: bytes, size: tuple[int, int]) -> CameraImage:
        """Return the image that was begun, or a new one when that was another.

        Args:
            camera: Camera id.
            jpeg: The compressed image, the very object that `begin` was given.
            size: Height and width [px]; (0, 0) as recorded.
        """
        begun = self._begun.get(camera)
        if begun is not None and begun.jpeg is jpeg and begun.size == size:
            return begun
        return CameraImage(camera, jpeg, size)

    def close(self) -> None:
        """End the threads; what was begun is decoded by whoever looks."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _decode(image: CameraImage) -> None:
    with suppress(BagError):  # whoever looks at it is told
        image.pixels()
