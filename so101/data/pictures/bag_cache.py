"""What can be computed from bags and is kept: decoded pictures and unpacked images, per bag.

A directory per bag, named by the sha256 of its data, and in it files that are named and checked by
what they were made from; nothing in it is ever needed. Processes may share it: one builds, the
others wait. A file that is cut, damaged or another's is made anew, and the log says so.
"""

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from so101.arrays import ImageArray
from so101.data.bags.bag_writer import SHA256_KEY
from so101.data.durable import store_error
from so101.data.pictures.cache_file import CacheFile, open_cache_file, write_cache_file
from so101.data.pictures.frames import CachedPictures, CompressedPictures
from so101.data.pictures.jpegs import Jpegs, PlacedJpegs
from so101.data.stores.store_entry import EpisodeEntry
from so101.data.stores.store_lock import waiting_lock
from so101.errors import BagError
from so101.images import DECODE_VERSION

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOCK = ".lock"
_BLOCK = 64
_log = logging.getLogger(__name__)


def bag_key(entry: EpisodeEntry) -> str:
    """Return the sha256 of a bag's data: what its recorder noted, else computed.

    Raises:
        BagError: The bag cannot be read.
    """
    told = entry.custom_data.get(SHA256_KEY, "")
    if _SHA256.fullmatch(told):  # anything else could name a file outside the cache
        return told
    found = hashlib.sha256()
    try:
        for path in data_files(entry.path):
            with path.open("rb") as stream:
                found.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise BagError(f"{entry.path}: cannot be read: {error.strerror}") from error
    return found.hexdigest()


def data_files(bag: Path) -> list[Path]:
    """Return the files of a bag that hold what was recorded, in order of their names.

    Raises:
        BagError: The bag cannot be read.
    """
    if bag.is_file():
        return [bag]
    known = (".mcap", ".db3", ".zstd", ".yaml")
    try:
        return sorted(path for path in bag.iterdir() if path.suffix in known)
    except OSError as error:
        raise BagError(f"{bag}: cannot be read: {error.strerror}") from error


class BagCache:
    """The files of one cache directory."""

    def __init__(self, root: Path) -> None:
        """Look at a directory; nothing is created yet."""
        self._root = root

    def pictures(
        self, bag: str, camera: str, source: CompressedPictures, sha256: str, size: tuple[int, int]
    ) -> CachedPictures:
        """Return the decoded pictures of a camera of a bag, made now unless they are there.

        Args:
            bag: Key of the bag.
            camera: Camera id.
            source: The compressed images.
            sha256: Digest of the images, see `so101.data.pictures.jpegs.digest`.
            size: Height and width of the pictures [px].

        Raises:
            BagError: An image cannot be decoded.
            StoreError: The cache cannot be written.
        """
        rows = len(source.jpegs)
        facts = {
            "kind": "pictures",
            "images": sha256,
            "decode_version": DECODE_VERSION,
            "shape": [rows, *size, 3],
            "bytes": rows * size[0] * size[1] * 3,
        }
        name = f"{_plain(camera)}-{size[0]}x{size[1]}-v{DECODE_VERSION}-{sha256[:16]}.pictures"
        return CachedPictures(self.file(bag, name, facts, _decoded(source, size)))

    def packed(self, bag: str, camera: str, jpegs: Jpegs, sha256: str) -> PlacedJpegs:
        """Return images, written aside as they are unless that was done before.

        Args:
            bag: Key of the bag.
            camera: Camera id.
            jpegs: The images.
            sha256: Their digest.

        Raises:
            StoreError: The cache cannot be written.
        """
        images = [jpegs.read(row) for row in range(len(jpegs))]
        lengths = np.array([len(image) for image in images], dtype=np.int64)
        facts = {"kind": "images", "images": sha256, "bytes": int(lengths.sum())}
        name = f"{_plain(camera)}-{sha256[:16]}.images"
        opened = self.file(bag, name, facts, iter(images))
        return PlacedJpegs(
            files=(opened.file,),
            owners=np.zeros(len(images), dtype=np.int64),
            offsets=opened.begin + np.cumsum(lengths) - lengths,
            lengths=lengths,
        )

    def file(
        self, bag: str, name: str, facts: Mapping[str, Any], payload: Iterator[ImageArray]
    ) -> CacheFile:
        """Open a file of a bag, or write it.

        Args:
            bag: Key of the bag.
            name: Of the file.
            facts: What it must state.
            payload: Its content, looked at only when it is written.

        Raises:
            StoreError: The cache cannot be written.
        """
        path = self.path(bag, name)
        found = _open(path, facts, is_said=False)
        if found is not None:
            return found
        self.make_directory(bag)
        with waiting_lock(path.parent / _LOCK):
            found = _open(path, facts, is_said=True)  # another process may just have made it
            if found is None:
                write_cache_file(path, facts, payload)
                found = open_cache_file(path)
        if found is None:
            raise BagError(f"{path}: vanished while it was opened")
        return found

    def path(self, bag: str, name: str) -> Path:
        """Return where a file of a bag lies."""
        return self._root / bag / name

    def make_directory(self, bag: str) -> None:
        """Make room for the files of a bag.

        Raises:
            StoreError: The cache cannot be written.
        """
        try:
            (self._root / bag).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise store_error(self._root / bag, error) from error


def _open(path: Path, facts: Mapping[str, Any], *, is_said: bool) -> CacheFile | None:
    """Open a file; None when it has to be made anew."""
    try:
        found = open_cache_file(path)
        if found is not None and dict(found.facts) != dict(facts):
            raise BagError(f"{path}: made from something else")
    except BagError as error:
        if is_said:
            _log.warning("%s; it is made anew", error)
        return None
    return found


def _decoded(source: CompressedPictures, size: tuple[int, int]) -> Iterator[ImageArray]:
    rows = range(len(source.jpegs))
    with ThreadPoolExecutor() as pool:  # the decoder lets other threads run
        for begin in range(0, len(rows), _BLOCK):
            block = rows[begin : begin + _BLOCK]
            pixels = np.empty((len(block), *size, 3), dtype=np.uint8)
            for _ in pool.map(source.read_into, block, pixels):
                pass
            yield pixels


def _plain(camera: str) -> str:
    """Return a camera's id as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", camera)
