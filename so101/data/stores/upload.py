"""Brings the finished episodes of a local store to a remote one.

An episode's files are sent, read back and hashed; only then its manifest is written, so a reader
sees whole episodes or none. Interrupted anywhere, the next pass goes on: a file that is there with
the right sha256 is not sent again, a part of one is sent anew. Several uploaders do no harm.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from so101.data.bags.bag_writer import SHA256_KEY
from so101.data.labels.label_merge import Sidecar, read_history
from so101.data.labels.labels import FILE_NAME as LABELS_NAME
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.manifest import BagFile, Manifest, is_safe_name
from so101.data.stores.pruning import remove_bags
from so101.data.stores.remote_catalog import Manifests, RemoteCatalog, RemoteLabels
from so101.data.stores.remote_files import PART, RemoteFiles
from so101.data.stores.store_entry import IndexLine, stamp_of
from so101.data.stores.store_index import StoreIndex
from so101.errors import BagError, RemoteError, StoreError

ByDirectory = dict[str, list[Manifest]]
LabelNames = dict[str, dict[str, int]]
_SMALL = 1 << 16
_MOST_FAILURES = 3
_TEMPORARY = ".tmp"


@dataclass(kw_only=True)
class UploadReport:
    """What one pass did, by directory names.

    Attributes:
        sent: Episodes that were sent now.
        present: Episodes that were there before.
        labels: Episodes whose labels were sent.
        refused: Episodes that cannot be sent, and why.
        failed: Episodes that could not be sent now, and why; the next pass tries again.
        deleted: Episodes whose local copy was deleted.
        bytes_sent: Bytes of all files that were sent.
    """

    sent: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    bytes_sent: int = 0


class Uploader:
    """Sends one local store to one remote store, pass by pass."""

    def __init__(self, store: EpisodeStore, files: RemoteFiles) -> None:
        """Prepare; nothing is read or sent yet."""
        self._store = store
        self._files = files
        self._catalog = RemoteCatalog(files)
        self._labels = RemoteLabels(files)
        self._settled: dict[str, str] = {}
        self._verified: set[str] = set()

    def pending(self) -> list[str]:
        """Return what the next pass would look at, without asking the remote."""
        return [path.name for path in self._bags() if self._settled.get(path.name) != _state(path)]

    def run(
        self,
        *,
        is_checked: bool = False,
        deletes: bool = False,
        on_sent: Callable[[str, int], None] = lambda name, size: None,
    ) -> UploadReport:
        """Send what is missing.

        Args:
            is_checked: Read everything back and hash it, also what was sent before.
            deletes: Delete local bags whose remote bytes were read back and are the same.
            on_sent: Takes each episode that was sent, and its size [bytes].

        Raises:
            RemoteError: The remote cannot be reached at all.
            StoreError: The local store cannot be read, or is in use when it is to be deleted from.
        """
        self._catalog.create()
        known = by_directory(self._catalog.manifests())
        present = self._labels.names()
        report = UploadReport()
        failures = 0
        for path in self._bags():
            state = _state(path)
            if self._settled.get(path.name) == state and not (is_checked or deletes):
                continue
            try:
                manifest = self._send(path, known, report, is_checked or deletes)
                if path.name in report.sent:
                    on_sent(path.name, manifest.size)
                self._send_labels(path, present, report, is_checked)
                self._settled[path.name] = state
                failures = 0
            except RemoteError as error:
                _note(report.failed, path, error)
                failures += 1
                if failures == _MOST_FAILURES:  # no use in waiting for every other one as well
                    break
            except (BagError, StoreError, OSError) as error:
                _note(report.refused, path, error)
                self._settled[path.name] = state
        if deletes:
            self._delete([*report.sent, *report.present], present, report)
        if not report.failed:
            self._catalog.write_index()
        return report

    def _bags(self) -> list[Path]:
        return StoreIndex(self._store.root).paths()

    def _send(
        self, path: Path, known: ByDirectory, report: UploadReport, is_checked: bool
    ) -> Manifest:
        """Bring one episode to the remote; return its manifest."""
        if not is_safe_name(path.name):
            raise StoreError(f"{path}: a name that not every store can hold")
        there = known.get(path.name, [])
        for manifest in there:
            if not is_checked and _looks_same(path, manifest):
                report.present.append(path.name)
                return manifest
        manifest = describe(path)
        others = [one.content for one in there if one.content != manifest.content]
        if others:
            raise StoreError(
                f"{path}: {self._files.url} has an episode of this name with other content: "
                f"sha256 {manifest.content} here, {others[0]} there; rename one of them"
            )
        is_new = self._complete(path, manifest, report)
        if not there:
            self._catalog.add(manifest)
            is_new = True
        self._verified.add(path.name)
        (report.sent if is_new else report.present).append(path.name)
        return manifest

    def _complete(self, path: Path, manifest: Manifest, report: UploadReport) -> bool:
        """Send those files that are not there as they should be; tell whether any was sent."""
        folder = f"bags/{manifest.directory}/{manifest.content}"
        sizes = self._files.sizes(folder)
        for name in sizes:
            if name.endswith(PART):  # of somebody who was killed, or will send it once more
                self._files.remove(f"{folder}/{name}")
        is_new = False
        for file in manifest.files:
            place = manifest.place_of(file)
            if sizes.get(file.name) == file.size and self._files.sha256(place) == file.sha256:
                continue
            self._files.put(path if manifest.is_file else path / file.name, place)
            is_new = True
            report.bytes_sent += file.size
            arrived = self._files.sha256(place)
            if arrived != file.sha256:
                raise RemoteError(
                    f"{self._files.url}: {place}: sent with sha256 {file.sha256}, read back with "
                    f"{arrived or 'nothing'}"
                )
        return is_new

    def _send_labels(
        self, path: Path, present: LabelNames, report: UploadReport, is_checked: bool
    ) -> None:
        local = read_local_labels(path)
        names = present.get(path.name, {})
        if local is None or (not is_checked and self._labels.holds(path.name, local, names)):
            return
        if self._labels.merge(path.name, local, names)[1]:
            report.labels.append(path.name)

    def _delete(self, names: Iterable[str], present: LabelNames, report: UploadReport) -> None:
        """Delete local bags that were read back in this pass, with labels that are there too."""
        self._store.lock()
        try:
            for name in names:
                path = self._store.root / name
                if name not in self._verified or name in report.failed:
                    continue
                try:
                    with self._store.labels_locked():  # who gives one now finds no episode then
                        self._send_labels(path, present, report, is_checked=True)
                        remove_bags(self._store.root, [path])
                    report.deleted.append(name)
                except RemoteError as error:
                    report.failed[name] = str(error)
            self._store.rebuild_index(is_trusted=True)
        finally:
            self._store.close()


def describe(path: Path) -> Manifest:
    """Hash a finished bag.

    Raises:
        BagError: Its metadata is corrupt, or its bytes have changed since they were recorded.
        StoreError: A file has a name that not every store can hold.
        OSError: It cannot be read.
    """
    line = IndexLine.of_bag(path)
    files = tuple(
        BagFile(name=file.name, size=file.stat().st_size, sha256=_file_digest(file))
        for file in _files_of(path)
    )
    if not files:
        raise BagError(f"{path}: holds no file")
    for file in files:
        if not is_safe_name(file.name):
            raise StoreError(f"{path / file.name}: a name that not every store can hold")
    recorded = line.custom_data.get(SHA256_KEY)
    if recorded is not None and recorded not in [file.sha256 for file in files]:
        raise BagError(f"{path}: its sha256 has changed since it was recorded")
    return Manifest(
        directory=path.name,
        files=files,
        is_file=path.is_file(),
        duration_ns=line.duration_ns,
        messages=line.messages,
        custom_data=line.custom_data,
    )


def _note(problems: dict[str, str], path: Path, error: Exception) -> None:
    """Remember what went wrong with a bag, unless it was deleted meanwhile."""
    if path.exists():
        problems[path.name] = str(error)


def read_local_labels(path: Path) -> Sidecar | None:
    """Return the content of the labels beside a bag, None without any.

    Raises:
        BagError: They are corrupt or of a later version.
    """
    file = path / LABELS_NAME
    try:
        return read_history(file.read_bytes(), str(file))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BagError(f"{file}: cannot be read: {error}") from error


def by_directory(known: Manifests) -> ByDirectory:
    """Return the manifests that this version can read, by the directory of their episode."""
    found: ByDirectory = {}
    for one in known.values():
        if isinstance(one, Manifest):
            found.setdefault(one.directory, []).append(one)
    return found


def _looks_same(path: Path, manifest: Manifest) -> bool:
    """Tell whether a bag is what a manifest says, from sizes and the content of small files.

    metadata.yaml is small and holds the sha256 of the recording.
    """
    files = {file.name: file for file in _files_of(path)}
    if set(files) != {file.name for file in manifest.files}:
        return False
    for file in manifest.files:
        local = files[file.name]
        if local.stat().st_size != file.size:
            return False
        if file.size <= _SMALL and _file_digest(local) != file.sha256:
            return False
    return True


def _files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        file
        for file in path.iterdir()
        if file.is_file()
        and file.name != LABELS_NAME
        and not file.name.startswith(".")
        and not file.name.endswith(_TEMPORARY)
    )


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _state(path: Path) -> str:
    """Return a text that changes when there is something new to send of a bag."""
    return f"{stamp_of(f'{path}/metadata.yaml')} {stamp_of(f'{path}/{LABELS_NAME}')}"
