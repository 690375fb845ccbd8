"""What the slow readings were since somebody last asked: a dip is over before the second is."""

import threading
from dataclasses import dataclass

import numpy as np

from so101.arrays import FloatArray, frozen


@dataclass(frozen=True, kw_only=True)
class Second:
    """Readings of about a second; NaN where there was none. Arrays have shape (joints,).

    Attributes:
        voltage_share: Lowest voltage, as a share of that at the start.
        current: Mean amount [A].
        load: Mean amount, as a share of the stall torque.
    """

    voltage_share: FloatArray
    current: FloatArray
    load: FloatArray


class Window:
    """Collects readings in one thread for another one that asks for them."""

    def __init__(self, size: int) -> None:
        """Be empty.

        Args:
            size: Number of joints.
        """
        self._size = size
        self._lock = threading.Lock()
        self._clear()

    def note(self, joint: int, voltage_share: float, current: float, load: float) -> None:
        """Take a joint's readings; of current and load only the amount counts."""
        with self._lock:
            self._lowest[joint] = np.fmin(self._lowest[joint], voltage_share)
            self._current[joint] += abs(current)
            self._load[joint] += abs(load)
            self._count[joint] += 1

    def take(self) -> Second:
        """Return what came since the last time, and begin anew."""
        with self._lock:
            count = np.where(self._count > 0, self._count, np.nan)
            second = Second(
                voltage_share=frozen(self._lowest),
                current=frozen(self._current / count),
                load=frozen(self._load / count),
            )
            self._clear()
            return second

    def _clear(self) -> None:
        self._lowest: FloatArray = np.full(self._size, np.nan)
        self._current: FloatArray = np.zeros(self._size)
        self._load: FloatArray = np.zeros(self._size)
        self._count: FloatArray = np.zeros(self._size)
