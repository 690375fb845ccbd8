"""What episodes and labels a remote store holds, and how a writer adds some.

Layout below the URL; nothing is ever appended to, renamed or overwritten with another content:

    so101_store.json                             marks the place, with the version of the layout
    bags/<directory>/<content sha256>/<file>     the files of an episode
    manifests/<directory>.<content sha256>.json  written last: what makes them an episode
    labels/<directory>.<sha256>.json             histories of labels; all of them count
    index/<sha256>.jsonl                         copies of manifests, only to save time

So writers of different machines need no lock: they write the same bytes to a place or to different
places. Deleted are only labels and indices that a newer, verified one contains.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress

from so101.data.labels.label_merge import Sidecar, canonical, merge_histories, read_history
from so101.data.stores.manifest import Manifest, read_manifest, split_name
from so101.data.stores.remote_files import RemoteFiles
from so101.errors import BagError, StoreError

MARKER = "so101_store.json"
SCHEMA_VERSION = 1
_MAX_BYTES = 1 << 24
_MAX_INDEX_BYTES = 1 << 30
_FEW = 64

Manifests = dict[str, Manifest | str]
"""Manifests by name; of one that this version cannot read, why."""


class RemoteCatalog:
    """The episodes of one remote store, by their manifests."""

    def __init__(self, files: RemoteFiles) -> None:
        """Look at a remote store; nothing is read yet."""
        self.files = files
        self._texts: dict[str, str] = {}

    def check(self) -> bool:
        """Tell whether there is a store.

        Raises:
            RemoteError: The remote cannot be reached.
            StoreError: It is of a later version, or its marker is damaged.
        """
        content = self.files.read(MARKER)
        if content is None:
            return False
        if self._version(content) < 1:
            raise StoreError(f"{self.files.url}: {MARKER} is damaged; an upload repairs it")
        return True

    def create(self) -> None:
        """Make sure that there is a store.

        Raises:
            RemoteError: The remote cannot be reached, or the marker did not arrive.
            StoreError: It is of a later version.
        """
        content = self.files.read(MARKER)
        if content is None or self._version(content) < 1:
            text = json.dumps({"schema_version": SCHEMA_VERSION}) + "\n"
            self.files.write(MARKER, text.encode())

    def _version(self, content: bytes) -> int:
        """Return the version that a marker says; 0 when it is damaged."""
        try:
            version = int(json.loads(content)["schema_version"])
        except (ValueError, KeyError, TypeError):
            return 0
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.files.url}: schema version {version}, at most {SCHEMA_VERSION} is known"
            )
        return version

    def manifests(self, *, known: Mapping[str, str] | None = None) -> Manifests:
        """Return every manifest.

        Args:
            known: Texts of manifests by name, from earlier; what is wrong in them does no harm.

        Raises:
            RemoteError: The remote cannot be reached.
        """
        sizes = self.files.sizes("manifests")
        names = [name for name in sorted(sizes) if split_name(name)]
        self._texts |= known or {}
        if sum(name not in self._texts for name in names) > _FEW:
            self._read_indices()
        found: Manifests = {}
        for name in names:
            manifest = check_manifest(name, self._texts.get(name, ""))
            if manifest is None and 0 < sizes[name] <= _MAX_BYTES:
                content = self.files.read(f"manifests/{name}") or b""
                self._texts[name] = content.decode(errors="replace")
                manifest = check_manifest(name, self._texts[name])
            if manifest is not None:
                found[name] = manifest
        self._texts = {name: self._texts[name] for name in found}
        return found

    def texts(self) -> dict[str, str]:
        """Return the texts of the manifests that were found last, to be `known` later."""
        return dict(self._texts)

    def add(self, manifest: Manifest) -> None:
        """Commit an episode whose files are there and verified.

        Raises:
            RemoteError: The remote cannot be reached, or the manifest did not arrive.
        """
        text = manifest.to_json()
        self.files.write(f"manifests/{manifest.name}", text.encode())
        self._texts[manifest.name] = text

    def write_index(self, *, is_forced: bool = False) -> bool:
        """Write what `manifests` found as one file, once enough of it is in none.

        Returns:
            Whether it was written.

        Raises:
            RemoteError: The remote cannot be reached, or the index did not arrive.
        """
        present = self.files.sizes("index")
        text = "".join(f"{self._texts[name]}\n" for name in sorted(self._texts)).encode()
        name = f"{hashlib.sha256(text).hexdigest()}.jsonl"
        room = sum(present.values())
        if name in present or not (is_forced or len(text) > room + max(room // 4, _FEW << 10)):
            return False
        self.files.write(f"index/{name}", text)
        for old in present:
            self.files.remove(f"index/{old}")  # what it knew is in the manifests in any case
        return True

    def _read_indices(self) -> None:
        for name, size in self.files.sizes("index").items():
            if size > _MAX_INDEX_BYTES:
                continue
            content = self.files.read(f"index/{name}") or b""
            for line in content.decode(errors="replace").split("\n"):
                with suppress(BagError):
                    manifest = read_manifest(line)
                    if manifest is not None:
                        self._texts.setdefault(manifest.name, line)


class RemoteLabels:
    """The labels of one remote store."""

    def __init__(self, files: RemoteFiles) -> None:
        """Look at a remote store; nothing is read yet."""
        self._files = files

    def names(self) -> dict[str, dict[str, int]]:
        """Return the files with labels and their sizes [bytes], by directory.

        Raises:
            RemoteError: The remote cannot be reached.
        """
        found: dict[str, dict[str, int]] = {}
        for name, size in self._files.sizes("labels").items():
            parts = split_name(name)
            if parts is not None:
                found.setdefault(parts[0], {})[name] = size
        return found

    def read(self, names: Mapping[str, int]) -> dict[str, Sidecar]:
        """Return the histories of some files; one that is torn or gone by now is left out.

        Raises:
            RemoteError: The remote cannot be reached.
            BagError: One is of a later version.
        """
        found = {}
        for name, size in names.items():
            if not 0 < size <= _MAX_BYTES:
                continue
            content = self._files.read(f"labels/{name}")
            parts = split_name(name)
            if content is not None and parts is not None and _name_of(parts[0], content) == name:
                found[name] = read_history(content, f"{self._files.url}: labels/{name}")
        return found

    def holds(self, directory: str, local: Sidecar, present: Mapping[str, int]) -> bool:
        """Tell by names and sizes whether an episode's labels are those known here and no others.

        Args:
            directory: The episode's.
            local: What is known here.
            present: The episode's files, as `names` found them.
        """
        content = canonical(merge_histories([local])).encode()
        return dict(present) == {_name_of(directory, content): len(content)}

    def merge(
        self, directory: str, local: Sidecar | None, present: Mapping[str, int]
    ) -> tuple[Sidecar, bool]:
        """Bring labels to the remote.

        Args:
            directory: The episode's.
            local: What is known here, or None.
            present: The episode's files, as `names` found them.

        Returns:
            Everything that is known there then, and whether any of it is new there.

        Raises:
            RemoteError: The remote cannot be reached, or the labels did not arrive.
            BagError: The remote's labels are of a later version.
        """
        theirs = self.read(present)
        merged = merge_histories([*theirs.values(), *([local] if local is not None else [])])
        if not theirs and local is None:
            return merged, False
        content = canonical(merged).encode()
        name = _name_of(directory, content)
        is_new = name not in theirs
        if is_new:
            self._files.write(f"labels/{name}", content)
        for old in theirs:
            if old != name:
                self._files.remove(f"labels/{old}")  # the new one contains it and was read back
        return merged, is_new


def _name_of(directory: str, content: bytes) -> str:
    return f"{directory}.{hashlib.sha256(content).hexdigest()}.json"


def check_manifest(name: str, text: str) -> Manifest | str | None:
    """Read a manifest that must have a name; None when it is torn, a text when it is of no use."""
    try:
        manifest = read_manifest(text)
    except BagError as error:
        return str(error)
    return manifest if manifest is not None and manifest.name == name else None
