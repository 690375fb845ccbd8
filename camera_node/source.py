"""Where frames come from: one small interface for every kind of camera."""

from dataclasses import dataclass
from typing import Protocol

from so101.arrays import ImageArray


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One image as its source gave it, not yet looked at.

    Attributes:
        jpeg: The compressed image.
        captured_ns: When it was taken, by the monotonic clock [ns].
        lost: Frames that the source knows it lost just before this one.
        problem: What the source says is wrong with it; empty when nothing is.
        pixels: The RGB image where the source had it anyway, uint8 of shape (height, width, 3).
    """

    jpeg: bytes
    captured_ns: int
    lost: int = 0
    problem: str = ""
    pixels: ImageArray | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of a camera, and given exactly or not at all.

    Attributes:
        height: [px].
        width: [px].
        rate_hz: Frames per second.
    """

    height: int
    width: int
    rate_hz: int

    def __str__(self) -> str:
        """Return it for a person."""
        return f"{self.width}x{self.height} at {self.rate_hz} Hz"


class FrameSource(Protocol):
    """A camera, or what stands in for one. `open` and `close` may follow each other many times."""

    def open(self) -> str:
        """Begin to deliver frames.

        Returns:
            What was opened, for a person.

        Raises:
            HardwareError: It is not there or does not answer; worth another try.
            ConfigError: It does not offer what is asked of it.
        """
        ...

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame in order of capture; None when there is none in time.

        Raises:
            HardwareError: It is gone.
        """
        ...

    def close(self) -> None:
        """Let go of it; nothing happens where it is not open."""
        ...
