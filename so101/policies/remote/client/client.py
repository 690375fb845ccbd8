"""A policy that runs on a server: observations go out, chunks come back, within a deadline.

Speaks ``so101.v1`` (``so101.policies.remote.wire.messages``). Looks after its connection by itself
(``link``); what to do while the server is away is the caller's business.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from so101.action import ChunkPrefix
from so101.arrays import Float32Array
from so101.config import option
from so101.errors import (
    ObservationError,
    ServerLostError,
    ServerRefusedError,
)
from so101.observation import Observation
from so101.policies.policy import Inference
from so101.policies.remote.client.camera_slots import CameraSlots
from so101.policies.remote.client.link import Link, LinkConfig
from so101.policies.remote.client.replies import greeting, is_alike, take_answer
from so101.policies.remote.client.websocket import Address, WebSocket, open_websocket
from so101.policies.remote.wire.messages import (
    SUBPROTOCOL,
    Answer,
    Hello,
    InferRequest,
    Reset,
)
from so101.policies.remote.wire.protocol import finite, pack_message
from so101.spec import PolicySpec

OnChange = Callable[[Hello, Hello], None]
"""Told what the server said before and what it says now, in the thread that noticed."""


@dataclass(frozen=True, kw_only=True)
class RemoteConfig:
    """How a client uses its server."""

    deadline: float = option(
        1.0, "longest wait for a chunk; twice what is usual is plenty [s]", range=(0.01, 60.0)
    )
    cameras: dict[str, str] = field(
        default_factory=dict,
        metadata={"doc": "camera id of the robot to the policy's; others of it are missing"},
    )
    link: LinkConfig = field(default_factory=LinkConfig)


class RemotePolicy:
    """A `Policy` whose inference is somewhere else.

    An episode runs on the weights of its first chunk. When the server has others, because it was
    restarted or learned, the rest of the episode is refused; `reset` goes on with the new ones.
    A server that comes back with another *spec* is refused until `adopt`.

    `infer` is called by one thread at a time; everything else may be called from others.

    Attributes:
        url: The server's.
        timings_ms: Of the last answer: what the server says it took, and ``round_trip``, from
            the call of `infer` to the answer [ms].
    """

    def __init__(
        self,
        address: Address,
        config: RemoteConfig,
        *,
        on_change: OnChange | None = None,
        rng: np.random.Generator | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect; see `connect`."""
        self.url = address.url
        self.timings_ms: dict[str, float] = {}
        self._address, self._config, self._clock = address, config, clock
        self._on_change = on_change
        self._state = threading.Lock()
        self._episode: str | None = None  # sha256 of its weights; None before its first chunk
        self._last_id = 0
        self._newest: Hello | None = None
        self._used: Hello
        self._slots: CameraSlots
        self._link = Link(
            address.url,
            self._dial,
            config.link,
            rng=np.random.default_rng() if rng is None else rng,
            clock=clock,
        )
        self._link.open()
        try:
            self._take_over(self._said)
        except BaseException:
            self.close()
            raise

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        token: str = "",
        ca: Path | None = None,
        config: RemoteConfig | None = None,
        on_change: OnChange | None = None,
        rng: np.random.Generator | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> "RemotePolicy":
        """Return the policy of a server that answers, and keep the connection until `close`.

        Args:
            url: ``ws://host:port``, or ``wss://host:port`` where the way is not to be trusted.
            token: What the server lets clients in for; empty for none.
            ca: Certificates that are trusted, PEM; None for those the machine trusts.
            config: Deadline, cameras' names and care of the connection.
            on_change: Told when the server has other weights or another spec than before.
            rng: Draws the delays between attempts to connect again.
            clock: Monotonic [s].

        Raises:
            ConfigError: The url, the certificates or the cameras' names are of no use.
            ServerLostError: Nothing answers there in time.
            ServerRefusedError: The server refuses, cannot be trusted, or is of another kind.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        address = Address(url=url, headers=headers, ca=ca, subprotocol=SUBPROTOCOL)
        return cls(address, config or RemoteConfig(), on_change=on_change, rng=rng, clock=clock)

    @property
    def spec(self) -> PolicySpec:
        """Inputs and outputs, with the robot's camera ids."""
        return self._slots.spec

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of one noise."""
        return self._used.noise_shape

    @property
    def checkpoint(self) -> str:
        """The sha256 of the weights that the episode runs on, or that the next one would."""
        return self._said.checkpoint if self._episode is None else self._episode

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._link.is_connected

    @property
    def problem(self) -> str:
        """Why there is no connection, for a person; empty while there is one."""
        return self._link.problem

    def infer(
        self,
        observation: Observation,
        *,
        noise: Float32Array | None = None,
        indicator: int | None = None,
        guidance: float | None = None,
        prefix: ChunkPrefix | None = None,
    ) -> Inference:
        """Have a chunk planned. JPEGs of the observation travel as they are, pixels otherwise.

        Raises:
            ObservationError: An input is missing, not finite, or too large for the server.
            ServerLostError: There is no connection, or no answer before the deadline.
            ServerRefusedError: The server refuses, its policy failed, or it has other weights
                than the episode began with, or another spec.
        """
        began_s = self._clock()
        finite(observation.positions, "positions")
        finite(observation.command, "command")
        self._check_unchanged(self._said)
        request = InferRequest(
            id=0,
            observation=observation,
            timeout_ms=self._config.deadline * 1e3,
            noise=noise,
            indicator=indicator,
            guidance=guidance,
            prefix=prefix,
        )
        answer = self._ask(request, began_s + self._config.deadline)
        self.timings_ms = {**answer.timings_ms, "round_trip": (self._clock() - began_s) * 1e3}
        return Inference(chunk=answer.chunk, native_action=answer.native_action, aux=answer.aux)

    def reset(self) -> None:
        """Begin an episode: on the weights that the server has by then."""
        with self._state:
            self._episode = None
            if is_alike(self._used, self._said):
                self._used = self._said

    def adopt(self) -> PolicySpec:
        """Use the server's policy although its spec is another, once that has been checked.

        Returns:
            The new spec, with the robot's camera ids.

        Raises:
            ConfigError: The cameras' names do not fit the new policy.
        """
        self._take_over(self._said)
        return self.spec

    def close(self) -> None:
        """End the connection; the policy is of no more use."""
        self._link.close()

    def _take_over(self, hello: Hello) -> None:
        slots = CameraSlots(hello.spec, self._config.cameras, self.url)
        with self._state:
            self._used, self._slots, self._episode = hello, slots, None

    @property
    def _said(self) -> Hello:
        """What the server said last."""
        if self._newest is None:
            raise ServerLostError(f"{self.url}: {self.problem}")
        return self._newest

    def _dial(self, deadline_s: float) -> WebSocket:
        made = open_websocket(self._address, deadline_s=deadline_s, clock=self._clock)
        try:
            self._hear(greeting(made, deadline_s))
        except BaseException:
            made.close()
            raise
        return made

    def _hear(self, hello: Hello) -> None:
        """Take note of what the server has, before anything is asked of it."""
        with self._state:
            before, self._newest = self._newest, hello
        changed = before is not None and not (
            is_alike(before, hello) and before.checkpoint == hello.checkpoint
        )
        if before is not None and changed and self._on_change is not None:
            self._on_change(before, hello)

    def _check_unchanged(self, hello: Hello) -> None:
        if not is_alike(self._used, hello):
            raise ServerRefusedError(
                f"{self.url}: came back with another policy: its inputs or outputs differ"
            )
        if self._episode is not None and hello.checkpoint != self._episode:
            raise ServerRefusedError(
                f"{self.url}: has other weights ({hello.checkpoint[:12]}) than this episode "
                f"began with ({self._episode[:12]})"
            )

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _ask(self, request: InferRequest, deadline_s: float) -> Answer:
        messages = [] if self._episode is not None else [pack_message(Reset(id=self._next_id()))]
        seen, jpegs = self._slots.fill(request.observation)
        request = replace(request, id=self._next_id(), observation=seen, compressed=jpegs)
        messages.append(self._packed(request))

        def take(data: bytes | str) -> Answer | None:
            return take_answer(data, request.id, self.url)

        answer = self._link.exchange(messages, take, deadline_s)
        self._check_answer(answer, request)
        return answer

    def _packed(self, request: InferRequest) -> bytes:
        message = pack_message(request)
        allowed = self._used.message_bytes
        if len(message) > allowed:
            raise ObservationError(
                f"{self.url}: an observation of {len(message)} bytes, the server reads {allowed}"
            )
        return message

    def _check_answer(self, answer: Answer, request: InferRequest) -> None:
        """Accept an answer from the weights of the episode, or from its first ones."""
        if answer.checkpoint != self._said.checkpoint:
            self._hear(replace(self._said, checkpoint=answer.checkpoint))
        self._check_unchanged(self._said)
        chunk, spec = answer.chunk, self._used.spec
        shape = (spec.action_space.horizon, len(spec.joints))
        stamp_ns = request.observation.stamp_ns
        if chunk.positions.shape != shape or chunk.stamp_ns != stamp_ns:
            raise ServerRefusedError(
                f"{self.url}: answers with {chunk.positions.shape} points of {chunk.stamp_ns}, "
                f"expected {shape} of {stamp_ns}"
            )
        self._episode = answer.checkpoint
