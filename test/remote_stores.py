"""Remote stores for tests: a file system in memory that can fail and lie, and stores to send."""

import io
import random
import shutil
from pathlib import Path

from fsspec.implementations.memory import MemoryFileSystem

from so101.data.bags.bag_writer import BagWriter
from so101.data.bags.custom_data import OUTCOME, facts_to_text
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.remote_files import RemoteFiles
from so101.data.stores.remote_store import RemoteStore
from so101.episode import EpisodeFacts, Outcome
from so101.topics import TASK

URL = "memory://team"
NAMES = tuple(f"20260102-03040{number}-e{number}" for number in range(3))


def make_store(root: Path) -> Path:
    """Record a few tiny episodes, which no policy could learn from; return their directory."""
    for name in NAMES:
        facts = EpisodeFacts(id=name[16:], phase="demonstrations", source="teleop")
        writer = BagWriter(root / name, [TASK], name=facts.id, now_ns=lambda: 0)
        for stamp_ns in range(3):
            writer.write(TASK.name, f"message {stamp_ns} of {name}".encode(), stamp_ns, stamp_ns)
        writer.close({**facts_to_text(facts), OUTCOME: Outcome.SUCCESS.value})
    store = EpisodeStore(root)
    store.rebuild_index()
    store.close()
    return root


def content_of(root: Path) -> dict[str, dict[str, bytes]]:
    """Return every file of every episode of a directory, labels apart."""
    return {
        path.name: {
            file.name: file.read_bytes() for file in path.iterdir() if file.name != "labels.json"
        }
        for path in root.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    }


class Remote:
    """A remote in memory whose content outlives connections, honest unless faults are set."""

    def __init__(self) -> None:
        self.system = FaultySystem(skip_instance_cache=True)
        self.system.store, self.system.pseudo_dirs = {}, [""]  # else all of a process share one

    def files(self, *, is_honest: bool = False) -> RemoteFiles:
        """Return access to it; an honest one shows what is really there."""
        system = _Honest(self.system) if is_honest else self.system
        return RemoteFiles(URL, lambda url: (system, "/team"))

    def names(self) -> list[str]:
        """Return what is really there."""
        return sorted(name.removeprefix("/team/") for name in self.system.store)


class FaultySystem(MemoryFileSystem):
    """Drops, cuts, changes and refuses at random, as `rate` says."""

    rate = 0.0
    rng = random.Random(0)
    writes = 0

    def ls(self, path, detail=True, **kwargs):
        self._fail()
        return super().ls(path, detail, **kwargs)

    def cat_file(self, path, start=None, end=None, **kwargs):
        self._fail()
        return self._spoil(MemoryFileSystem._open(self, path).getvalue())

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        self._store(path, bytes(value))

    def put_file(self, lpath, rpath, callback=None, mode="overwrite", **kwargs):
        self._store(rpath, Path(lpath).read_bytes())

    def rm_file(self, path):
        self._fail()
        if not self._is_bad():
            super().rm_file(path)

    def _open(self, path, mode="rb", **kwargs):
        if mode != "rb":
            return super()._open(path, mode, **kwargs)
        self._fail()
        return io.BytesIO(self._spoil(super()._open(path, mode).getvalue()))

    def _store(self, path, content):
        self.writes += 1
        if self._is_bad():
            fault = self.rng.choice(["drop", "cut", "change", "raise", "late"])
            if fault == "drop":
                return
            if fault in ("cut", "raise"):
                content = content[: self.rng.randrange(len(content) or 1)]
            if fault == "change":
                content = self._changed(content)
            super().pipe_file(path, content)
            if fault in ("raise", "late"):
                raise OSError("connection lost")
            return
        super().pipe_file(path, content)

    def _spoil(self, content):
        return self._changed(content) if self._is_bad() else content

    def _changed(self, content):
        if not content:
            return b"?"
        place = self.rng.randrange(len(content))
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    def _fail(self):
        if self._is_bad():
            raise self.rng.choice([OSError, EOFError, RuntimeError])("no answer")

    def _is_bad(self):
        return self.rng.random() < self.rate


class _Honest:
    """What the store of a faulty system really holds."""

    def __init__(self, system: FaultySystem) -> None:
        self._plain = MemoryFileSystem(skip_instance_cache=True)
        self._plain.store = system.store
        self._plain.pseudo_dirs = system.pseudo_dirs

    def __getattr__(self, name):
        return getattr(self._plain, name)


def local_copy(bags: Path, root: Path) -> EpisodeStore:
    """Return a store with copies of some bags."""
    return EpisodeStore(Path(shutil.copytree(bags, root, copy_function=shutil.copy2)))


def reader(remote: Remote, cache: Path, *, is_honest: bool = True) -> RemoteStore:
    """Return the remote as somebody reads it."""
    return RemoteStore(remote.files(is_honest=is_honest), cache)
