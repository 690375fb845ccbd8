"""A remote store as an `EpisodeStore`: listed from its manifests, bags fetched when they are read.

What was fetched lies in a local cache and is hashed before its first use in every process; a copy
that does not have the manifest's sha256 is fetched again. Without a network the cache is used, and
`RemoteStore.offline` says so.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from so101.data.durable import store_error, write_text
from so101.data.labels.label_merge import merge_histories
from so101.data.labels.labels import FILE_NAME as LABELS_NAME
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.manifest import BagFile, Manifest
from so101.data.stores.remote_catalog import Manifests, RemoteCatalog, RemoteLabels, check_manifest
from so101.data.stores.remote_files import RemoteFiles
from so101.data.stores.store_entry import EpisodeEntry, broken_entry, to_entry
from so101.data.stores.upload import LabelNames, read_local_labels
from so101.data.stores.verification import VerifiedEpisode, verify_bag
from so101.errors import BagError, RemoteError, StoreError

_SEEN = "seen.json"
_BAGS = "bags"


class RemoteStore(EpisodeStore):
    """Episodes of a remote store. Nobody records into one."""

    def __init__(
        self, files: RemoteFiles, cache: Path, say: Callable[[str], None] = lambda line: None
    ) -> None:
        """Look at a remote store; nothing is read yet.

        Args:
            files: The remote.
            cache: Directory for what was fetched from it; of this remote alone.
            say: Takes what a person should know, such as that the network is gone.
        """
        super().__init__(cache / _BAGS)
        self.url = files.url
        self.offline = ""
        self._files = files
        self._cache = cache
        self._say = say
        self._catalog = RemoteCatalog(files)
        self._labels = RemoteLabels(files)
        self._manifests: dict[str, Manifest] = {}
        self._label_names: LabelNames = {}
        self._entries: list[EpisodeEntry] | None = None
        self._label_problems: dict[str, str] = {}
        self._checked: set[Path] = set()

    @property
    def name(self) -> str:
        """The URL."""
        return self.url

    def lock(self) -> NoReturn:
        """Refuse to become a writer.

        Raises:
            StoreError: Always.
        """
        raise StoreError(
            f"{self.url}: is a remote store; record into a directory and "
            "`so101 episodes upload` that"
        )

    def rebuild_index(self, *, is_trusted: bool = False) -> int:
        """Write the remote's index anew from its manifests; return their number.

        Raises:
            RemoteError: The remote cannot be reached.
        """
        found = self._catalog.manifests()
        self._catalog.write_index(is_forced=True)
        return len(found)

    def episodes(self) -> list[EpisodeEntry]:
        """List every episode, as the remote has them now or, without a network, had them last.

        Raises:
            StoreError: There is no store, it is of a later version, or it cannot be reached and
                was never seen before.
        """
        seen = self._read_seen()
        try:
            if not self._catalog.check():
                raise StoreError(f"{self.url}: no store of episodes is there")
            manifests = self._catalog.manifests(known=seen["manifests"])
            self._pull_labels(self._labels.names(), seen["labels"])
            self.offline = ""
            texts = self._catalog.texts()
        except RemoteError as error:
            if not (self._cache / _SEEN).exists():
                raise
            if not self.offline:
                self._say(f"offline: episodes and labels are those seen last ({error})")
            self.offline = str(error)
            manifests, texts = _offline_manifests(seen["manifests"]), seen["manifests"]
            self._label_names = seen["labels"]
        if (texts, self._label_names) != (seen["manifests"], seen["labels"]):
            self._write_seen(texts)
        self._entries = self._list(manifests)
        return list(self._entries)

    def find(self, episode: str) -> EpisodeEntry:
        """Return an episode by id or directory name, from the newest listing if there is one.

        Raises:
            StoreError: There is none, or more than one.
        """
        return self._named(self.episodes() if self._entries is None else self._entries, episode)

    def fetch(self, entry: EpisodeEntry) -> Path:
        """Return where an episode's bag lies on this machine, with every byte checked.

        Raises:
            RemoteError: It is not in the cache and the remote cannot be reached.
            BagError: The remote has other bytes than its manifest says.
            StoreError: The cache cannot be written.
        """
        manifest = self._manifest_of(entry)
        target = self.root / manifest.directory
        if target in self._checked:
            return target
        try:
            folder = self.root if manifest.is_file else target
            folder.mkdir(parents=True, exist_ok=True)
            for file in manifest.files:
                local = folder / file.name
                if not _is_whole(local, file):
                    self._fetch_file(manifest, file, local)
        except OSError as error:
            raise store_error(target, error) from error
        self._checked.add(target)
        return target

    def room_of(self, entry: EpisodeEntry) -> int:
        """Return the room an episode takes in the remote store [bytes]."""
        manifest = self._manifests.get(entry.path.name)
        return 0 if manifest is None else manifest.size

    def verify(self, episodes: Sequence[EpisodeEntry] | None = None) -> list[VerifiedEpisode]:
        """Read episodes, or all, back from the remote and check them down to the last byte."""
        entries = self.episodes() if episodes is None else episodes
        return [self._verify(entry) for entry in entries]

    def _verify(self, entry: EpisodeEntry) -> VerifiedEpisode:
        try:
            manifest = self._manifest_of(entry)
            problems = []
            for file in manifest.files:
                found = self._files.sha256(manifest.place_of(file))
                if found != file.sha256:
                    problems.append(_mismatch(self.url, manifest, file, found))
            if not problems:
                self.fetch(entry)
                return verify_bag(entry)
        except (BagError, StoreError) as error:
            problems = [str(error)]
        problems = [*([entry.problem] if entry.problem else []), *problems]
        return VerifiedEpisode(
            entry=entry, messages=0, types={}, problems=tuple(dict.fromkeys(problems))
        )

    @contextmanager
    def _changing(self, entry: EpisodeEntry) -> Iterator[Path]:
        """Yield the directory in the cache; what was said there goes to the remote at the end."""
        directory = self._manifest_of(entry).directory
        path = self.root / directory
        if path.is_file() or self._manifests[directory].is_file:
            raise StoreError(f"{self.url}: {directory}: a lone file cannot be labelled")
        path.mkdir(parents=True, exist_ok=True)
        with self.labels_locked():
            self._share(directory)
            yield path
            try:
                self._share(directory)
            except RemoteError as error:
                raise RemoteError(
                    f"{directory}: was labelled in {path} only and goes to the remote store with "
                    f"its next label; {error}"
                ) from error
        self._entries = None

    def _share(self, directory: str) -> None:
        """Make the labels in the cache and in the remote store the same."""
        path = self.root / directory
        names = self._labels.names().get(directory, {})
        merged, _ = self._labels.merge(directory, read_local_labels(path), names)
        if merged["labels"] or merged.get("values"):
            write_text(path / LABELS_NAME, json.dumps(merged, indent=1) + "\n")

    def _pull_labels(self, names: LabelNames, seen: LabelNames) -> None:
        self._label_names = dict(seen)
        self._label_problems.clear()
        for directory, present in names.items():
            path = self.root / directory
            if present == seen.get(directory) and (path / LABELS_NAME).exists():
                continue
            try:
                path.mkdir(parents=True, exist_ok=True)
                self._pull(path, present)
                self._label_names[directory] = present
            except OSError as error:
                raise store_error(path, error) from error
            except BagError as error:
                self._label_problems[directory] = str(error)

    def _pull(self, path: Path, present: Mapping[str, int]) -> None:
        theirs = self._labels.read(present)
        with self.labels_locked():
            # what this machine said and could not send stays, and goes with its next word
            local = read_local_labels(path)
            merged = merge_histories([*theirs.values(), *([local] if local else [])])
            write_text(path / LABELS_NAME, json.dumps(merged, indent=1) + "\n")

    def _list(self, manifests: Manifests) -> list[EpisodeEntry]:
        found: dict[str, list[Manifest | str]] = {}
        for name, manifest in manifests.items():
            found.setdefault(name.rpartition(".json")[0].rpartition(".")[0], []).append(manifest)
        self._manifests = {
            directory: one
            for directory, (one, *others) in found.items()
            if isinstance(one, Manifest) and not others
        }
        return [self._entry_of(directory, found[directory]) for directory in sorted(found)]

    def _entry_of(self, directory: str, found: list[Manifest | str]) -> EpisodeEntry:
        path = self.root / directory
        first = found[0]
        if isinstance(first, str):
            return broken_entry(path, f"{self.url}: {directory}: {first}")
        if len(found) > 1:
            contents = " and ".join(one.content for one in found if isinstance(one, Manifest))
            return broken_entry(
                path,
                f"{self.url}: {directory}: was sent with different content, sha256 {contents}",
            )
        try:
            return to_entry(path, first.line().with_labels(path))
        except BagError as error:
            return broken_entry(path, str(error))

    def _manifest_of(self, entry: EpisodeEntry) -> Manifest:
        if self._entries is None:
            self.episodes()
        manifest = self._manifests.get(entry.path.name)
        if manifest is None:
            raise StoreError(entry.problem or f"{self.url}: no episode {entry.path.name}")
        return manifest

    def _fetch_file(self, manifest: Manifest, file: BagFile, local: Path) -> None:
        temporary = local.with_name(f".{file.name}.{os.getpid()}.part")
        try:
            found = self._files.sha256(manifest.place_of(file), temporary)
            if found != file.sha256:
                raise BagError(_mismatch(self.url, manifest, file, found))
            os.replace(temporary, local)
        except RemoteError as error:
            raise RemoteError(f"{manifest.directory}: is not in the cache; {error}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def _read_seen(self) -> dict[str, Any]:
        nothing: dict[str, Any] = {"manifests": {}, "labels": {}}
        try:
            seen = json.loads((self._cache / _SEEN).read_text(encoding="utf-8"))
            return {key: dict(seen[key]) for key in nothing}
        except (OSError, ValueError, KeyError, TypeError):
            return nothing  # a cache: everything is read from the remote

    def _write_seen(self, texts: Mapping[str, str]) -> None:
        seen = {"manifests": dict(texts), "labels": self._label_names}
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise store_error(self.root, error) from error
        with self.labels_locked():  # several processes may share a cache
            write_text(self._cache / _SEEN, json.dumps(seen))


def _offline_manifests(texts: Mapping[str, str]) -> Manifests:
    checked = {name: check_manifest(name, text) for name, text in texts.items()}
    return {name: one for name, one in checked.items() if one is not None}


def _is_whole(path: Path, file: BagFile) -> bool:
    try:
        if path.stat().st_size != file.size:
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except FileNotFoundError:
        return False


def _mismatch(url: str, manifest: Manifest, file: BagFile, found: str) -> str:
    return (
        f"{url}: {manifest.place_of(file)}: sha256 {found or '(missing)'}, "
        f"its manifest says {file.sha256}"
    )
