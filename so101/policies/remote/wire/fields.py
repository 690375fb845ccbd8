"""Reading the mapping of a received message key by key, strictly."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from so101.errors import ProtocolError

T = TypeVar("T")


class Fields:
    """A mapping whose keys are taken one by one; a key too many or too few is an error.

    Attributes:
        names: The keys, in the order of arrival.
    """

    def __init__(self, values: Any, where: str) -> None:
        """Begin to read.

        Args:
            values: What the codec returned.
            where: Which part of the message it is, for errors.

        Raises:
            ProtocolError: It is no mapping.
        """
        if not isinstance(values, Mapping):
            raise ProtocolError(f"{where}: must be a mapping, got {type(values).__name__}")
        self.names = tuple(values)
        self._left, self._where = dict(values), where

    def finish(self) -> None:
        """Refuse keys that nobody took.

        Raises:
            ProtocolError: There are some.
        """
        if self._left:
            raise ProtocolError(f"{self._where}: unknown key {min(self._left)[:40]!r}")

    def text(self, key: str) -> str:
        """Take a text."""
        return self._typed(key, str)

    def whole(self, key: str) -> int:
        """Take a whole number."""
        return self._typed(key, int)

    def number(self, key: str) -> float:
        """Take a finite number."""
        value = self._take(key)
        is_number = type(value) in (int, float)
        if not is_number or not math.isfinite(value):
            raise ProtocolError(f"{self._where}: {key} must be a finite number")
        return float(value)

    def texts(self, key: str) -> list[str]:
        """Take a list of texts."""
        return self._list(key, str)

    def wholes(self, key: str) -> list[int]:
        """Take a list of whole numbers."""
        return self._list(key, int)

    def mapping(self, key: str) -> dict[str, Any]:
        """Take a mapping as it is."""
        return self._typed(key, dict)

    def inner(self, key: str) -> "Fields":
        """Take a mapping to be read in the same way."""
        return Fields(self._take(key), f"{self._where}: {key}")

    def array(self, key: str, dtype: str, dims: int | None = None) -> npt.NDArray[Any]:
        """Take an array of one element type and, where given, of so many dimensions."""
        value = self._typed(key, np.ndarray)
        if value.dtype != dtype or dims not in (None, value.ndim):
            raise ProtocolError(
                f"{self._where}: {key} is {value.dtype} with {value.ndim} dimensions, "
                f"needs {dtype}" + ("" if dims is None else f" with {dims}")
            )
        return value

    def optional(self, key: str, take: Callable[[str], T]) -> T | None:
        """Take a value that may be None."""
        if self._left.get(key, 0) is None:
            del self._left[key]
            return None
        return take(key)

    def _list(self, key: str, kind: type[T]) -> list[T]:
        values = self._typed(key, list)
        if any(type(item) is not kind for item in values):
            raise ProtocolError(f"{self._where}: {key} must be a list of {kind.__name__}")
        return values

    def _typed(self, key: str, kind: type[T]) -> T:
        value = self._take(key)
        if type(value) is not kind:  # a bool is no number here
            raise ProtocolError(
                f"{self._where}: {key} must be {kind.__name__}, got {type(value).__name__}"
            )
        return value

    def _take(self, key: str) -> Any:
        if key not in self._left:
            raise ProtocolError(f"{self._where}: {key} is missing")
        return self._left.pop(key)
