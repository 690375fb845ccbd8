"""Files of a remote store, whatever fsspec reaches it by: the one place that knows fsspec.

No append, no rename, no lock: every backend has what is used here, object stores too.
"""

import hashlib
import importlib.util
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from so101.data.durable import sync_directory
from so101.errors import ConfigError, RemoteError

_MODULES = {"file": "", "memory": "", "s3": "s3fs", "sftp": "paramiko"}
"""The kinds of URL and the module that each needs on top of fsspec."""

PART = ".part"
"""Ending of a file that is being sent, where the remote has directories."""

_CHUNK = 1 << 23
_PATIENCE_S = 20
T = TypeVar("T")

FileSystem = Any
"""An fsspec file system; fsspec has no types."""


def is_url(text: str) -> bool:
    """Tell whether a store's name is a URL and not a directory."""
    return "://" in text


def check_url(url: str) -> str:
    """Return the URL of a remote store without a slash at its end.

    Raises:
        ConfigError: Its kind is unknown, it carries a password or a query, names no place, or
            what this kind needs is not installed. The password is not repeated.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _MODULES:
        known = ", ".join(f"{name}://" for name in _MODULES)
        raise ConfigError(f"{scheme}://: unknown kind of store; known: {known} or a directory")
    login, at, place = rest.partition("/")[0].rpartition("@")
    if ":" in login or (at and scheme == "s3"):
        raise ConfigError(
            f"{scheme}://...@{place}: no password in a URL, it would be seen by others; "
            f"{_credentials(scheme)}"
        )
    if not rest.strip("/") or any(mark in rest for mark in "?#*[]"):
        raise ConfigError(f"{url}: not the place of a store; use {scheme}://... without ?#*[]")
    if scheme == "file" and not rest.startswith("/"):
        raise ConfigError(f"{url}: not an absolute path; use file:///... with three slashes")
    if _MODULES[scheme] and importlib.util.find_spec(_MODULES[scheme]) is None:
        raise ConfigError(
            f"{url}: needs the package {_MODULES[scheme]}; pip install 'so101_bringup[{scheme}]'"
        )
    return url.rstrip("/")


def connect(url: str) -> tuple[FileSystem, str]:
    """Open a checked URL; return the file system and the path of the store in it."""
    import fsspec

    parts = urlsplit(url)
    common = {"skip_instance_cache": True}
    if parts.scheme == "sftp":
        from so101.data.stores.sftp import KnownHostsSftp

        login: dict[str, Any] = {"username": parts.username} if parts.username else {}
        login |= {"port": parts.port} if parts.port else {}
        return KnownHostsSftp(parts.hostname, timeout=_PATIENCE_S, **login, **common), parts.path
    if parts.scheme == "s3":
        waiting = {"connect_timeout": _PATIENCE_S, "read_timeout": _PATIENCE_S}
        common |= {"use_listings_cache": False}
        return fsspec.core.url_to_fs(url, config_kwargs=waiting, **common)  # type: ignore[no-any-return]
    more = {"auto_mkdir": True} if parts.scheme == "file" else {}
    return fsspec.core.url_to_fs(url, **more, **common)  # type: ignore[no-any-return]


class RemoteFiles:
    """Reads and writes whole files below a URL by their names relative to it."""

    def __init__(
        self, url: str, connect: Callable[[str], tuple[FileSystem, str]] = connect
    ) -> None:
        """Take a checked URL; nothing is opened yet.

        Args:
            url: The place; see `check_url`.
            connect: Returns the file system and the path in it; called again after an error.
        """
        self.url = url
        self._connect = connect
        self._open: tuple[FileSystem, str] | None = None

    def sizes(self, directory: str) -> dict[str, int]:
        """Return name and size [bytes] of every file of a directory; none where it is missing.

        Raises:
            RemoteError: The remote cannot be reached.
        """

        def call(files: FileSystem, root: str) -> dict[str, int]:
            with suppress(FileNotFoundError):
                found = files.ls(f"{root}/{directory}", detail=True)
                return {
                    str(one["name"]).rpartition("/")[2]: int(one["size"] or 0)
                    for one in found
                    if one["type"] == "file"
                }
            return {}

        return self._run(f"list {directory}", call)

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file, None where it is missing.

        Raises:
            RemoteError: The remote cannot be reached.
        """

        def call(files: FileSystem, root: str) -> bytes | None:
            with suppress(FileNotFoundError):
                return bytes(files.cat_file(f"{root}/{name}"))
            return None

        return self._run(f"read {name}", call)

    def write(self, name: str, content: bytes) -> None:
        """Write a small file and make sure that it is there.

        Raises:
            RemoteError: The remote cannot be reached, or holds something else afterwards.
        """

        def call(files: FileSystem, root: str) -> None:
            with self._replacing(files, f"{root}/{name}") as path:
                files.pipe_file(path, content)

        self._run(f"write {name}", call)
        if self.read(name) != content:
            raise RemoteError(f"{self.url}: {name}: is not what was written")

    def put(self, path: Path, name: str) -> None:
        """Send a file. What arrived has to be checked with `sha256`.

        Raises:
            RemoteError: The remote cannot be reached.
        """

        def call(files: FileSystem, root: str) -> None:
            with self._replacing(files, f"{root}/{name}") as place:
                files.put_file(str(path), place)

        self._run(f"write {name}", call)

    def sha256(self, name: str, copy: Path | None = None) -> str:
        """Read a file to its end and return the digest of what came, empty where it is missing.

        Args:
            name: The file.
            copy: Where to write what came.

        Raises:
            RemoteError: The remote cannot be reached.
            OSError: The copy cannot be written.
        """

        def call(files: FileSystem, root: str) -> str:
            with suppress(FileNotFoundError), files.open(f"{root}/{name}", "rb") as stream:
                if prefetch := getattr(stream, "prefetch", None):
                    prefetch()  # sftp would wait for every answer before asking on
                return _hash(stream, copy)
            return ""

        return self._run(f"read {name}", call)

    def remove(self, name: str) -> None:
        """Delete a file; one that is missing is no error.

        Raises:
            RemoteError: The remote cannot be reached.
        """

        def call(files: FileSystem, root: str) -> None:
            with suppress(FileNotFoundError):
                files.rm_file(f"{root}/{name}")

        self._run(f"delete {name}", call)

    def _run(self, what: str, call: Callable[[FileSystem, str], T]) -> T:
        try:
            self._open = self._open or self._connect(self.url)
            return call(*self._open)
        except _CopyError as error:
            raise error.cause from error
        except Exception as error:  # every backend has errors of its own
            self._open = None  # a broken connection stays broken
            reason = " ".join(str(error).split()) or type(error).__name__
            raise RemoteError(f"{self.url}: cannot {what}: {reason[:200]}") from error

    @contextmanager
    def _replacing(self, files: FileSystem, path: str) -> Iterator[str]:
        """Yield where to write a file; others see it when it is whole.

        Object stores do that by themselves. A directory gets the file under another name first:
        somebody who sends the same and is killed must not leave a part of what was committed.
        """
        if self.url.startswith("s3:"):
            yield path
            return
        files.makedirs(path.rpartition("/")[0], exist_ok=True)  # on s3 it would make a bucket
        if self.url.startswith("memory:"):
            yield path
            return
        part = f"{path}.{uuid.uuid4().hex[:12]}{PART}"
        yield part
        if self.url.startswith("file:"):
            _sync(part)  # what is verified next must also survive a power loss
        files.mv(part, path)
        if self.url.startswith("file:"):
            sync_directory(Path(path).parent)


class _CopyError(Exception):
    """The local side of a transfer failed."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hash(stream: Any, copy: Path | None) -> str:
    digest = hashlib.sha256()
    try:
        target = None if copy is None else copy.open("wb")
    except OSError as error:
        raise _CopyError(error) from error
    try:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if target is not None:
                try:
                    target.write(chunk)
                except OSError as error:
                    raise _CopyError(error) from error
    finally:
        if target is not None:
            target.close()
    return digest.hexdigest()


def _credentials(scheme: str) -> str:
    """Say where credentials of a kind of store belong."""
    if scheme == "s3":
        return "use AWS_PROFILE, AWS_ACCESS_KEY_ID and the like"
    return "use an ssh key or agent"
