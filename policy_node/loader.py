"""Loads checkpoints in the background, so that the policy in use never pauses. No ROS."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from policy_node.part import PartConfig
from so101.errors import So101Error
from so101.policies.checkpoints.canary import check_canary
from so101.policies.checkpoints.checkpoint import load_policy
from so101.policies.checkpoints.files import verify
from so101.policies.policy import Policy
from so101.robot import JOINTS


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A policy that was verified, loaded and tried.

    Attributes:
        path: Directory of its checkpoint, or the address of its server.
        sha256: Hash of its weights.
        policy: The policy.
        close: Lets go of what it holds, such as a connection, once it acts no more.
    """

    path: Path | str
    sha256: str
    policy: Policy
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A policy that must not drive, and why."""

    path: Path | str
    problem: str


class CheckpointLoader:
    """Verifies, loads and tries one checkpoint after another in a thread of its own.

    Of several that wait only the newest is loaded.
    """

    def __init__(
        self, cameras: tuple[str, ...], config: PartConfig, arrays: tuple[str, ...] = ()
    ) -> None:
        """Start the thread.

        Args:
            cameras: Camera ids of the robot.
            config: How the policy will act.
            arrays: Names of auxiliary arrays that are asked of every policy.
        """
        self._cameras = cameras
        self._config = config
        self._arrays = arrays
        self._wanted: queue.SimpleQueue[tuple[Path, Policy | None]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Loaded | Refused] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def want(self, path: Path, previous: Policy | None) -> None:
        """Ask for a checkpoint, to be compared with the policy in use."""
        self._wanted.put((path, previous))

    def take(self) -> Loaded | Refused | None:
        """Return a checkpoint that was tried since the last call, or None."""
        try:
            return self._done.get_nowait()
        except queue.Empty:
            return None

    def load(self, path: Path, previous: Policy | None) -> Loaded | Refused:
        """Load one checkpoint in this thread; problems are part of the answer."""
        try:
            sha256 = verify(path).sha256
            policy = load_policy(path, JOINTS, self._cameras)
            self._config.check(policy, str(path))
            check_canary(policy, previous, arrays=self._arrays, where=str(path))
        except So101Error as error:
            return Refused(path=path, problem=str(error))
        return Loaded(path=path, sha256=sha256, policy=policy)

    def _work(self) -> None:
        while True:
            path, previous = self._wanted.get()
            while not self._wanted.empty():
                path, previous = self._wanted.get()
            try:
                self._done.put(self.load(path, previous))
            except Exception as error:  # a bug, but the policy in use must run on
                self._done.put(Refused(path=path, problem=f"{path}: {error!r}"))
