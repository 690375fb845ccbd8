"""One file format for whatever can be computed again: a checked header, then arrays.

A file appears under its name only when it is whole and on the disk. One that is cut, foreign or of
an earlier format is told apart by its header and its length, so it can be made anew; the arrays
themselves have no checksum, as reading them all would cost what the cache is to save.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from so101.arrays import ImageArray
from so101.data.durable import store_error, sync_directory
from so101.data.mapped_file import MappedFile
from so101.errors import BagError

_MAGIC = b"SO101C1\n"
_HEAD = struct.Struct("<8sII")
_PAGE = 4096
_MAX_HEADER = 1 << 26
_Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class CacheFile:
    """An opened file.

    Attributes:
        facts: What it says of itself.
        file: Where it lies.
        begin: Where its payload begins [bytes].
    """

    facts: Mapping[str, Any]
    file: MappedFile
    begin: int

    def payload(self) -> ImageArray:
        """Return the bytes behind the header; a view of the mapped file. Shape (bytes,)."""
        return self.file.content()[self.begin :]


def write_cache_file(path: Path, facts: Mapping[str, Any], payload: Iterable[_Array]) -> None:
    """Write a file; until it is whole it has the ending ``.part``. Whoever calls holds a lock.

    Args:
        path: Where it will be.
        facts: What it says of itself: plain values. ``bytes`` must be the payload's length.
        payload: Contiguous arrays in order, written one by one.

    Raises:
        StoreError: It cannot be written.
    """
    header = json.dumps(dict(facts)).encode()
    header += b" " * (-(_HEAD.size + len(header)) % _PAGE)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as stream:
            stream.write(_HEAD.pack(_MAGIC, len(header), zlib.crc32(header)))
            stream.write(header)
            for array in payload:
                stream.write(array.data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
        sync_directory(path.parent)
    except OSError as error:
        raise store_error(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def open_cache_file(path: Path) -> CacheFile | None:
    """Open a file; None when there is none.

    Raises:
        BagError: It is cut, damaged or foreign; the message says which.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD.size)
            if len(head) < _HEAD.size:
                raise BagError(f"{path}: is cut: {len(head)} bytes")
            magic, length, checksum = _HEAD.unpack(head)
            if magic != _MAGIC or length > _MAX_HEADER:
                raise BagError(f"{path}: not a cache file of this format")
            header = stream.read(length)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BagError(f"{path}: cannot be read: {error.strerror}") from error
    if zlib.crc32(header) != checksum:
        raise BagError(f"{path}: wrong checksum of its header")
    try:
        facts: dict[str, Any] = json.loads(header)
        file, begin = MappedFile.of(path), _HEAD.size + length
        size = begin + int(facts["bytes"])
    except (ValueError, KeyError, TypeError) as error:
        raise BagError(f"{path}: not a cache file of this format: {error!r}") from error
    if file.size != size:
        raise BagError(f"{path}: {file.size} of {size} bytes")
    return CacheFile(facts=facts, file=file, begin=begin)


def layout(arrays: Mapping[str, _Array]) -> list[dict[str, Any]]:
    """Return name, type and shape of arrays in order, for the facts of a file."""
    return [{"name": k, "dtype": a.dtype.str, "shape": list(a.shape)} for k, a in arrays.items()]


def unpack(payload: ImageArray, laid_out: Iterable[Mapping[str, Any]]) -> dict[str, _Array]:
    """Return copies of arrays that were written in the order of their `layout`."""
    arrays: dict[str, _Array] = {}
    at = 0
    for one in laid_out:
        dtype, shape = np.dtype(one["dtype"]), tuple(one["shape"])
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        arrays[one["name"]] = payload[at : at + size].copy().view(dtype).reshape(shape)
        at += size
    return arrays
