"""Which version of a policy each robot runs: a running episode keeps its own.

The newest version acts in every episode that begins. A version that no robot runs any more is let
go, so that at most one more version than robots is alive; a bound below that is kept by letting
the newest wait, never by taking a policy out of an episode.
"""

import threading
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, Protocol, TypeVar

from so101.errors import ConfigError


class Named(Protocol):
    """A version of a policy."""

    @property
    def sha256(self) -> str:
        """Of its weights."""
        ...


Version = TypeVar("Version", bound=Named)
Request = TypeVar("Request")


class LiveVersions(Generic[Version]):
    """The versions that are alive, and who runs which. Any thread may call it."""

    def __init__(self, first: Version, limit: int = 4) -> None:
        """Begin with one version.

        Args:
            first: What acts at first.
            limit: Versions alive at once, at least 2: one that acts and one that follows.

        Raises:
            ConfigError: The limit is lower.
        """
        if limit < 2:
            raise ConfigError(f"live versions: limit {limit}, need at least 2")
        self._limit, self._lock = limit, threading.RLock()
        self._newest, self._waiting = first, first
        self._runs: dict[Hashable, Version] = {}

    @property
    def newest(self) -> Version:
        """The version that acts in an episode that begins now."""
        return self._newest

    @property
    def waiting(self) -> Version | None:
        """The version that is held back by the bound; None for none."""
        return None if self._waiting is self._newest else self._waiting

    @property
    def alive(self) -> tuple[Version, ...]:
        """Versions that act or may act."""
        with self._lock:
            found = {one.sha256: one for one in (*self._runs.values(), self._newest)}
        return tuple(found.values())

    def publish(self, version: Version) -> bool:
        """Let a version act in the episodes that begin from now on.

        Returns:
            Whether it may at once; else it waits for an episode to end, unless a newer one comes.
        """
        with self._lock:
            self._waiting = version
            self._advance()
            return self._newest is version

    def replace(self, version: Version) -> None:
        """Let a version act at once, in running episodes too."""
        with self._lock:
            self._runs.clear()
            self._newest = self._waiting = version

    def begin(self, robot: Hashable) -> Version:
        """Begin a robot's episode and return the version that acts in it to its end."""
        with self._lock:
            self._runs.pop(robot, None)
            self._advance()
            self._runs[robot] = self._newest
            return self._newest

    def of(self, robot: Hashable) -> Version:
        """Return the version of a robot's episode; one that said nothing begins its first."""
        with self._lock:
            known = self._runs.get(robot)
            return self.begin(robot) if known is None else known

    def sort(
        self, requests: Iterable[Request], robot: Callable[[Request], Hashable]
    ) -> list[tuple[Version, list[Request]]]:
        """Return requests by the version that answers them; mostly it is one for all.

        Args:
            requests: In any order, kept within a version.
            robot: Says whose a request is.
        """
        found: dict[str, tuple[Version, list[Request]]] = {}
        for request in requests:
            version = self.of(robot(request))
            found.setdefault(version.sha256, (version, []))[1].append(request)
        return list(found.values())

    def leave(self, robot: Hashable) -> None:
        """Take note that a robot is gone; what only it ran is let go."""
        with self._lock:
            self._runs.pop(robot, None)
            self._advance()

    def _advance(self) -> None:
        """Let the waiting version act if that keeps the bound; one nobody runs makes room."""
        in_use = {one.sha256 for one in self._runs.values()} | {self._waiting.sha256}
        if len(in_use) <= self._limit:
            self._newest = self._waiting
