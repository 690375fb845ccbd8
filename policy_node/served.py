"""A policy on a server, as one that may drive: tried first, and always of the same weights.

Each set of weights gets a connection of its own, so that a newcomer is tried while its predecessor
acts. No ROS.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from policy_node.loader import Loaded, Refused
from policy_node.part import PartConfig
from so101.action import ChunkPrefix
from so101.arrays import Float32Array
from so101.errors import CheckpointError, ServerRefusedError, So101Error
from so101.observation import Observation
from so101.policies.checkpoints.canary import check_canary
from so101.policies.policy import Inference
from so101.policies.remote.client.client import RemoteConfig, RemotePolicy
from so101.policies.wrappers.wrapped import WrappedPolicy
from so101.robot import JOINTS

RETRY_S = 1.0
"""From one attempt to find a server, or one that may drive, to the next [s]."""


@dataclass(frozen=True, kw_only=True)
class ServerAddress:
    """Where the policy is.

    Attributes:
        url: ``ws://host:port`` or ``wss://host:port``.
        token: What the server lets clients in for; empty for none. Never shown.
        ca: Certificates that are trusted, PEM; None for those the machine trusts.
        deadline_s: Longest wait for a chunk [s].
    """

    url: str
    token: str = field(default="", repr=False)
    ca: Path | None = None
    deadline_s: float = 1.0


class ServedPolicy(WrappedPolicy):
    """The policy of a server, as long as it has the weights that were tried."""

    def __init__(self, remote: RemotePolicy, sha256: str) -> None:
        """Wrap a connected policy."""
        super().__init__(remote)
        self._remote, self._sha256 = remote, sha256

    def infer(
        self,
        observation: Observation,
        *,
        noise: Float32Array | None = None,
        indicator: int | None = None,
        guidance: float | None = None,
        prefix: ChunkPrefix | None = None,
    ) -> Inference:
        """Have a chunk planned.

        Raises:
            ServerLostError: No answer came in time.
            ServerRefusedError: The server refuses, or has other weights than were tried.
        """
        inference = self._remote.infer(
            observation, noise=noise, indicator=indicator, guidance=guidance, prefix=prefix
        )
        if self._remote.checkpoint != self._sha256:
            raise ServerRefusedError(
                f"{self._remote.url}: has other weights ({self._remote.checkpoint[:12]}) than "
                f"were tried ({self._sha256[:12]})"
            )
        return inference


class PolicyServer:
    """Looks what a server has, in a thread of its own: at first, and whenever it may have changed.

    Until it has been found it is looked for without end.
    """

    def __init__(
        self,
        address: ServerAddress,
        cameras: tuple[str, ...],
        config: PartConfig,
        arrays: tuple[str, ...] = (),
        connect: Callable[..., RemotePolicy] = RemotePolicy.connect,
    ) -> None:
        """Start the thread.

        Args:
            address: Where the policy is.
            cameras: Camera ids of the robot.
            config: How the policy will act.
            arrays: Names of auxiliary arrays that are asked of every policy.
            connect: Makes a connected policy.
        """
        self._address, self._cameras, self._config = address, cameras, config
        self._arrays = arrays
        self._connect = connect
        self._news = threading.Event()
        self._news.set()
        self._is_closed = threading.Event()
        self._answers: SimpleQueue[Loaded | Refused] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="policy server").start()

    def want(self) -> None:
        """Look again what the server has."""
        self._news.set()

    def take(self) -> Loaded | Refused | None:
        """Return what was found since the last call, or None."""
        try:
            return self._answers.get_nowait()
        except Empty:
            return None

    def close(self) -> None:
        """End the thread; policies that were taken are closed by who took them."""
        self._is_closed.set()
        self._news.set()

    def look(self) -> Loaded | Refused:
        """Connect in this thread, and try what is there."""
        url = self._address.url
        try:
            remote = self._connect(
                url,
                token=self._address.token,
                ca=self._address.ca,
                config=RemoteConfig(deadline=self._address.deadline_s),
                on_change=lambda before, now: self._news.set(),
            )
        except So101Error as error:
            return Refused(path=url, problem=str(error))
        try:
            return self._tried(remote)
        except So101Error as error:
            remote.close()
            return Refused(path=url, problem=str(error))

    def _tried(self, remote: RemotePolicy) -> Loaded:
        sha256, url = remote.checkpoint, self._address.url
        if not sha256:
            raise CheckpointError(f"{url}: does not say which weights it has")
        policy = ServedPolicy(remote, sha256)
        policy.spec.check_fits(JOINTS, self._cameras, url)
        self._config.check(policy, url)
        # without its predecessor, whose weights the server no longer has
        check_canary(policy, arrays=self._arrays, where=url)
        remote.reset()
        return Loaded(path=url, sha256=sha256, policy=policy, close=remote.close)

    def _work(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            if self._is_closed.is_set():
                return
            try:
                answer = self.look()
            except Exception as error:  # a bug, but the policy in use must run on
                answer = Refused(path=self._address.url, problem=f"{error!r}")
            self._answers.put(answer)
            if isinstance(answer, Refused) and not self._is_closed.wait(RETRY_S):
                self._news.set()
