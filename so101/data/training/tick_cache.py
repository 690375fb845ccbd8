"""Keeps the tick tables of bags, so that a dataset opens without reading its bags again.

What is kept says what it was made from: the files of the bag, its labels, how it was read and by
which code. Any of these changes, and the bag is read again.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import so101
from so101.config import to_mapping
from so101.data.bags.custom_data import facts_from_text, facts_to_text
from so101.data.episodes.segments import ReaderConfig
from so101.data.labels.labels import FILE_NAME as LABELS_NAME
from so101.data.mapped_file import MappedFile
from so101.data.pictures.bag_cache import BagCache, bag_key, data_files
from so101.data.pictures.cache_file import layout, open_cache_file, unpack, write_cache_file
from so101.data.pictures.jpegs import PlacedJpegs, digest
from so101.data.stores.store_entry import EpisodeEntry
from so101.data.stores.store_lock import waiting_lock
from so101.data.training.tick_table import COLUMNS, CameraTicks, TickTable, left_in_bag
from so101.episode import Outcome
from so101.errors import BagError

_Arrays = dict[str, npt.NDArray[Any]]


class BagTables(NamedTuple):
    """What a bag holds.

    Attributes:
        tables: One per episode that may be used.
        refused: Id of every other episode, and why.
    """

    tables: Sequence[TickTable]
    refused: Mapping[str, str]


class TickCache:
    """The kept tables of one way of reading."""

    def __init__(self, cache: BagCache, config: ReaderConfig, cameras: Sequence[str]) -> None:
        """Look at a cache; nothing is created yet.

        Args:
            cache: Where files are kept.
            config: How bags are read.
            cameras: Ids of the cameras that are looked at.
        """
        self._cache, self._cameras = cache, tuple(cameras)
        reading = {"config": to_mapping(config), "cameras": self._cameras}
        self._reading = json.dumps(reading, sort_keys=True)

    def read(self, entry: EpisodeEntry) -> BagTables | None:
        """Return what a bag holds; None when it is not there as the bag is now.

        Raises:
            BagError: The bag cannot be read.
        """
        bag = bag_key(entry)
        try:
            found = open_cache_file(self._path(entry, bag))
            if found is None or found.facts.get("made_from") != self._made_from(entry):
                return None
            payload = found.payload()
            if zlib.crc32(payload) != found.facts["crc32"]:
                return None
            arrays = unpack(payload, found.facts["layout"])
            told = enumerate(found.facts["tables"])
            tables = [_table(f"{number}/", one, arrays) for number, one in told]
            return BagTables(tables, dict(found.facts["refused"]))
        except (BagError, KeyError, TypeError, ValueError):
            return None  # whatever it was: the bag itself says everything

    def keep(self, entry: EpisodeEntry, content: BagTables) -> BagTables:
        """Keep what a bag holds.

        Args:
            entry: The bag.
            content: What it holds, images in memory.

        Returns:
            The same, images in files.

        Raises:
            BagError: The bag cannot be read.
            StoreError: The cache cannot be written.
        """
        bag = bag_key(entry)
        made_from = self._made_from(entry)
        found = left_in_bag(entry.path, content.tables)
        kept = [self._placed(replace(table, bag=bag)) for table in found]
        arrays: _Arrays = {}
        for number, table in enumerate(kept):
            arrays |= {f"{number}/{name}": array for name, array in _arrays(table).items()}
        plain = [np.ascontiguousarray(array) for array in arrays.values()]
        payload = np.frombuffer(b"".join(array.tobytes() for array in plain), dtype=np.uint8)
        facts = {
            "kind": "ticks",
            "made_from": made_from,
            "tables": [_facts(table) for table in kept],
            "refused": dict(content.refused),
            "layout": layout(arrays),
            "crc32": zlib.crc32(payload),
            "bytes": len(payload),
        }
        self._cache.make_directory(bag)
        path = self._path(entry, bag)
        with waiting_lock(path.with_name(".lock")):
            write_cache_file(path, facts, [payload])
        return content._replace(tables=kept)

    def _path(self, entry: EpisodeEntry, bag: str) -> Path:
        """Return where a bag's tables are: copies of a bag have each their own."""
        name = hashlib.sha256(f"{entry.path}\n{self._reading}".encode()).hexdigest()[:16]
        return self._cache.path(bag, f"ticks-{name}.table")

    def _placed(self, table: TickTable) -> TickTable:
        """Return a table whose images all lie in files, and which knows their digests."""
        cameras = {}
        for camera, ticks in table.cameras.items():
            sha256, jpegs = digest(ticks.jpegs), ticks.jpegs
            if not isinstance(jpegs, PlacedJpegs):
                jpegs = self._cache.packed(table.bag, camera, jpegs, sha256)
            cameras[camera] = replace(ticks, jpegs=jpegs, sha256=sha256)
        return replace(table, cameras=cameras)

    def _made_from(self, entry: EpisodeEntry) -> dict[str, Any]:
        files = [_stamp(MappedFile.of(path)) for path in data_files(entry.path)]
        labels = entry.path / LABELS_NAME
        try:
            said = labels.read_bytes() if labels.is_file() else b""
        except OSError as error:
            raise BagError(f"{labels}: cannot be read: {error.strerror}") from error
        return {
            "files": files,
            "labels": hashlib.sha256(said).hexdigest(),
            "reading": self._reading,
            "code": _code_digest(),
        }


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Return the sha256 over the code that reads bags: another may read them differently."""
    root = Path(so101.__file__).parent
    found = hashlib.sha256()
    for path in sorted([*root.glob("*.py"), *(root / "data").rglob("*.py")]):
        found.update(path.read_bytes())
    return found.hexdigest()


def _stamp(file: MappedFile) -> list[Any]:
    return [file.path, file.size, file.modified_ns]


def _jpegs(files: Sequence[Sequence[Any]], places: npt.NDArray[Any]) -> PlacedJpegs:
    """Return images by their places, if these are still as they were."""
    found = [MappedFile(str(path), int(size), int(at)) for path, size, at in files]
    for file in found:
        if MappedFile.of(Path(file.path)) != file:
            raise BagError(f"{file.path}: changed")
    owners, offsets, lengths = (np.ascontiguousarray(column) for column in places.T)
    return PlacedJpegs(files=tuple(found), owners=owners, offsets=offsets, lengths=lengths)


def _arrays(table: TickTable) -> _Arrays:
    arrays: _Arrays = {name: getattr(table, name) for name in COLUMNS}
    if table.objects is not None:
        arrays["objects"] = table.objects
    for camera, ticks in table.cameras.items():
        arrays[f"rows/{camera}"] = ticks.rows
        if isinstance(ticks.jpegs, PlacedJpegs):
            places = [ticks.jpegs.owners, ticks.jpegs.offsets, ticks.jpegs.lengths]
            arrays[f"places/{camera}"] = np.stack(places, axis=1)
    return arrays | {f"values/{name}": numbers for name, numbers in table.values.items()}


def _facts(table: TickTable) -> dict[str, Any]:
    return {
        "facts": facts_to_text(table.facts),
        "outcome": None if table.outcome is None else table.outcome.value,
        "duration_s": table.duration_s,
        "bag": table.bag,
        "cameras": {camera: _camera_facts(ticks) for camera, ticks in table.cameras.items()},
        "held": table.held,
        "aux": table.aux,
        "values": list(table.values),
    }


def _camera_facts(ticks: CameraTicks) -> dict[str, Any]:
    files = ticks.jpegs.files if isinstance(ticks.jpegs, PlacedJpegs) else ()
    return {
        "files": [_stamp(file) for file in files],
        "shapes": ticks.shapes,
        "problem": ticks.problem,
        "sha256": ticks.sha256,
    }


def _table(prefix: str, told: Mapping[str, Any], arrays: _Arrays) -> TickTable:
    """Return a table, the inverse of `_facts` and `_arrays`."""
    columns: dict[str, Any] = {name: arrays[prefix + name] for name in COLUMNS}
    return TickTable(
        facts=facts_from_text(told["facts"], ""),
        outcome=None if told["outcome"] is None else Outcome(told["outcome"]),
        duration_s=told["duration_s"],
        bag=told["bag"],
        **columns,
        objects=arrays.get(f"{prefix}objects"),
        cameras={
            camera: CameraTicks(
                jpegs=_jpegs(one["files"], arrays[f"{prefix}places/{camera}"]),
                rows=arrays[f"{prefix}rows/{camera}"],
                shapes=tuple((height, width) for height, width in one["shapes"]),
                problem=one["problem"],
                sha256=one["sha256"],
            )
            for camera, one in told["cameras"].items()
        },
        held=tuple(told["held"]),
        aux=tuple(told["aux"]),
        values={name: arrays[f"{prefix}values/{name}"] for name in told["values"]},
    )
