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
from typing import Any

import numpy as np
import numpy.typing as npt

import so101
from so101.config import to_mapping
from so101.data.bag_cache import BagCache, bag_key, data_files
from so101.data.cache_file import layout, open_cache_file, unpack, write_cache_file
from so101.data.custom_data import facts_from_text, facts_to_text
from so101.data.jpegs import HeldJpegs, Jpegs, PlacedJpegs, digest, find_in_bag
from so101.data.labels import FILE_NAME as LABELS_NAME
from so101.data.mapped_file import MappedFile
from so101.data.segments import ReaderConfig
from so101.data.store_entry import EpisodeEntry
from so101.data.store_lock import waiting_lock
from so101.data.tick_table import COLUMNS, CameraTicks, TickTable
from so101.episode import Outcome
from so101.errors import BagError

_Arrays = dict[str, npt.NDArray[Any]]


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

    def read(self, entry: EpisodeEntry) -> list[TickTable] | None:
        """Return a bag's tables; None when they are not there as the bag is now.

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
            jpegs = {
                camera: _placed(files, arrays[f"places/{camera}"])
                for camera, files in found.facts["files"].items()
            }
            return [
                _table(number, one, arrays, jpegs)
                for number, one in enumerate(found.facts["tables"])
            ]
        except (BagError, KeyError, TypeError, ValueError):
            return None  # whatever it was: the bag itself says everything

    def keep(self, entry: EpisodeEntry, tables: Sequence[TickTable]) -> list[TickTable]:
        """Keep a bag's tables.

        Args:
            entry: The bag.
            tables: Its tables, their images in memory.

        Returns:
            The tables, their images in files.

        Raises:
            BagError: The bag cannot be read.
            StoreError: The cache cannot be written.
        """
        bag = bag_key(entry)
        made_from = self._made_from(entry)
        placed, digests = self._place(entry, bag, tables)
        kept = [_with_jpegs(replace(table, bag=bag), placed, digests) for table in tables]
        arrays: _Arrays = {}
        for number, table in enumerate(kept):
            arrays |= {f"{number}/{name}": array for name, array in _arrays(table).items()}
        for camera, jpegs in placed.items():
            columns = [jpegs.owners, jpegs.offsets, jpegs.lengths]
            arrays[f"places/{camera}"] = np.stack(columns, axis=1)
        plain = [np.ascontiguousarray(array) for array in arrays.values()]
        content = np.frombuffer(b"".join(array.tobytes() for array in plain), dtype=np.uint8)
        facts = {
            "kind": "ticks",
            "made_from": made_from,
            "tables": [_facts(table) for table in kept],
            "files": {c: [_stamp(file) for file in jpegs.files] for c, jpegs in placed.items()},
            "layout": layout(arrays),
            "crc32": zlib.crc32(content),
            "bytes": len(content),
        }
        self._cache.make_directory(bag)
        path = self._path(entry, bag)
        with waiting_lock(path.with_name(".lock")):
            write_cache_file(path, facts, [content])
        return kept

    def _path(self, entry: EpisodeEntry, bag: str) -> Path:
        """Return where a bag's tables are: copies of a bag have each their own."""
        name = hashlib.sha256(f"{entry.path}\n{self._reading}".encode()).hexdigest()[:16]
        return self._cache.path(bag, f"ticks-{name}.table")

    def _place(
        self, entry: EpisodeEntry, bag: str, tables: Sequence[TickTable]
    ) -> tuple[dict[str, PlacedJpegs], dict[str, str]]:
        """Return where the images of each camera lie, and their digest."""
        held: dict[str, HeldJpegs] = {}
        for table in tables:
            for camera, ticks in table.cameras.items():
                if isinstance(ticks.jpegs, HeldJpegs):
                    held[camera] = ticks.jpegs
        found = dict(zip(held, find_in_bag(entry.path, list(held.values())), strict=True))
        digests = {camera: digest(jpegs) for camera, jpegs in held.items()}
        placed = {
            camera: jpegs
            if jpegs is not None
            else self._cache.packed(bag, camera, held[camera], digests[camera])
            for camera, jpegs in found.items()
        }
        return placed, digests

    def _made_from(self, entry: EpisodeEntry) -> dict[str, Any]:
        files = [_stamp(MappedFile.of(path)) for path in data_files(entry.path)]
        labels = entry.path / LABELS_NAME
        said = labels.read_bytes() if entry.path.is_dir() and labels.is_file() else b""
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
    for path in sorted([*root.glob("*.py"), *(root / "data").glob("*.py")]):
        found.update(path.read_bytes())
    return found.hexdigest()


def _stamp(file: MappedFile) -> list[Any]:
    return [file.path, file.size, file.modified_ns]


def _placed(files: Sequence[Sequence[Any]], places: npt.NDArray[Any]) -> PlacedJpegs:
    found = [MappedFile(str(path), int(size), int(at)) for path, size, at in files]
    for file in found:
        if MappedFile.of(Path(file.path)) != file:
            raise BagError(f"{file.path}: changed")
    owners, offsets, lengths = (np.ascontiguousarray(column) for column in places.T)
    return PlacedJpegs(files=tuple(found), owners=owners, offsets=offsets, lengths=lengths)


def _with_jpegs(
    table: TickTable, jpegs: Mapping[str, Jpegs], digests: Mapping[str, str]
) -> TickTable:
    cameras = {
        camera: replace(ticks, jpegs=jpegs[camera], sha256=digests[camera])
        for camera, ticks in table.cameras.items()
    }
    return replace(table, cameras=cameras)


def _arrays(table: TickTable) -> _Arrays:
    arrays: _Arrays = {name: getattr(table, name) for name in COLUMNS}
    if table.objects is not None:
        arrays["objects"] = table.objects
    arrays |= {f"rows/{camera}": ticks.rows for camera, ticks in table.cameras.items()}
    arrays |= {f"values/{name}": numbers for name, numbers in table.values.items()}
    return arrays


def _facts(table: TickTable) -> dict[str, Any]:
    return {
        "facts": facts_to_text(table.facts),
        "outcome": None if table.outcome is None else table.outcome.value,
        "duration_s": table.duration_s,
        "bag": table.bag,
        "cameras": {c: [t.shapes, t.problem, t.sha256] for c, t in table.cameras.items()},
        "held": table.held,
        "aux": table.aux,
        "values": list(table.values),
    }


def _table(
    number: int, told: Mapping[str, Any], arrays: _Arrays, jpegs: Mapping[str, Jpegs]
) -> TickTable:
    columns: dict[str, Any] = {name: arrays[f"{number}/{name}"] for name in COLUMNS}
    return TickTable(
        facts=facts_from_text(told["facts"], ""),
        outcome=None if told["outcome"] is None else Outcome(told["outcome"]),
        duration_s=told["duration_s"],
        bag=told["bag"],
        **columns,
        objects=arrays.get(f"{number}/objects"),
        cameras={
            camera: CameraTicks(
                jpegs=jpegs[camera],
                rows=arrays[f"{number}/rows/{camera}"],
                shapes=tuple((height, width) for height, width in shapes),
                problem=problem,
                sha256=sha256,
            )
            for camera, (shapes, problem, sha256) in told["cameras"].items()
        },
        held=tuple(told["held"]),
        aux=tuple(told["aux"]),
        values={name: arrays[f"{number}/values/{name}"] for name in told["values"]},
    )
