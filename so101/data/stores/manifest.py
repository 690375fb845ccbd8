"""What a remote store says of one episode: its files by sha256, and what a listing needs."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from so101.data.bags.custom_data import outcome_from_text
from so101.data.stores.store_entry import IndexLine
from so101.errors import BagError

SCHEMA_VERSION = 1
_SUFFIX = ".json"
_NAME = re.compile(r"[^./\\?#*\[\]\x00-\x1f][^/\\?#*\[\]\x00-\x1f]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class BagFile:
    """One file of an episode.

    Attributes:
        name: Its name, without any directory.
        size: Its size [bytes].
        sha256: Digest of its content.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One episode of a remote store. It is written last: without it the files are no episode.

    Attributes:
        directory: Name of the bag in a store.
        files: Its files by name, labels apart.
        is_file: The bag is one lone file.
        duration_ns: From the first to the last message [ns].
        messages: Messages in the bag; -1 when nobody counted.
        custom_data: Text by key.
    """

    directory: str
    files: tuple[BagFile, ...]
    is_file: bool = False
    duration_ns: int = 0
    messages: int = -1
    custom_data: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def content(self) -> str:
        """Digest of all files: two episodes are the same when this is the same."""
        return content_of(self.files)

    @property
    def size(self) -> int:
        """Room of all files [bytes]."""
        return sum(file.size for file in self.files)

    @property
    def name(self) -> str:
        """Name of its file in the remote store, which also says what it must contain."""
        return f"{self.directory}.{self.content}{_SUFFIX}"

    def place_of(self, file: BagFile) -> str:
        """Return the name of one of its files in the remote store.

        Part of it is the content of the whole episode, so that nobody who sends another content
        ever writes to the same place.
        """
        return f"bags/{self.directory}/{self.content}/{file.name}"

    def line(self) -> IndexLine:
        """Return what a listing shows, labels apart.

        Raises:
            BagError: The outcome is none.
        """
        recorded = outcome_from_text(self.custom_data, self.directory)
        name = Path(self.directory).stem if self.is_file else self.directory
        return IndexLine(
            directory=name,
            duration_ns=self.duration_ns,
            messages=self.messages,
            custom_data=self.custom_data,
            stamp="remote",
            outcome=recorded.value if recorded else "",
        )

    def to_json(self) -> str:
        """Return it as one line that carries its own digest."""
        body = {
            "schema_version": SCHEMA_VERSION,
            "directory": self.directory,
            "is_file": self.is_file,
            "files": [vars(file) for file in self.files],
            "duration_ns": self.duration_ns,
            "messages": self.messages,
            "custom_data": dict(self.custom_data),
        }
        return _canonical({"manifest": body, "sha256": _digest(body)})


def content_of(files: Sequence[BagFile]) -> str:
    """Return the digest of an episode's files."""
    return _digest([[f.name, f.size, f.sha256] for f in sorted(files, key=lambda f: f.name)])


def is_safe_name(name: str) -> bool:
    """Tell whether a name means one file in every store, and none outside of it."""
    return _NAME.fullmatch(name) is not None


def split_name(name: str) -> tuple[str, str] | None:
    """Return directory and digest that a file's name in the remote store says, None for others."""
    directory, _, digest = name.removesuffix(_SUFFIX).rpartition(".")
    if not name.endswith(_SUFFIX) or not _SHA256.fullmatch(digest) or not is_safe_name(directory):
        return None
    return directory, digest


def read_manifest(text: str) -> Manifest | None:
    """Read a manifest; None when it is torn or damaged, as if it had not been written.

    Raises:
        BagError: It is whole, and of a later version or of no use.
    """
    try:
        values = json.loads(text)
        body = values["manifest"]
        if values["sha256"] != _digest(body):
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return _from_body(body)


def _from_body(body: Any) -> Manifest:
    version = body.get("schema_version") if isinstance(body, dict) else None
    if version != SCHEMA_VERSION:
        raise BagError(f"manifest: schema version {version!r}, expected {SCHEMA_VERSION}")
    try:
        files = tuple(
            BagFile(name=str(one["name"]), size=int(one["size"]), sha256=str(one["sha256"]))
            for one in body["files"]
        )
        manifest = Manifest(
            directory=str(body["directory"]),
            files=files,
            is_file=bool(body["is_file"]),
            duration_ns=int(body["duration_ns"]),
            messages=int(body["messages"]),
            custom_data={str(k): str(v) for k, v in body["custom_data"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BagError(f"manifest: {error!r}") from error
    for name in (manifest.directory, *(file.name for file in files)):
        if not is_safe_name(name):
            raise BagError(f"manifest: {name!r} is not the name of a file")
    return manifest


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
