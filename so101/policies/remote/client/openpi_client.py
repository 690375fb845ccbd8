"""A policy on an openpi server: `RemotePolicy`'s sibling for somebody else's protocol.

Protocol (openpi-client 0.1): the server sends a mapping with whatever it has to say of itself;
then each message is an observation and each answer a mapping with a chunk, or a text when the
server failed. Nothing names a request, so a late answer could be taken for the next one's: a
missed deadline ends the connection, and the next one begins with nothing on the way.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from so101.action import ActionChunk, ChunkPrefix, is_finite_chunk
from so101.arrays import Float32Array, FloatArray, frozen
from so101.errors import (
    ConfigError,
    ObservationError,
    ProtocolError,
    ServerLostError,
    ServerRefusedError,
)
from so101.observation import Observation
from so101.policies.policy import Inference
from so101.policies.remote.client.link import Link, LinkConfig
from so101.policies.remote.client.openpi_format import JointValues, OpenPiFormat, fit_image
from so101.policies.remote.client.websocket import Address, WebSocket, open_websocket
from so101.policies.remote.wire.openpi_msgpack import pack_openpi, unpack_openpi
from so101.policies.remote.wire.protocol import finite

_SHOWN = 200
"""Characters of a server's own words that a message carries."""

OnMetadata = Callable[[Any, Any], None]
"""Told what the server said of itself before and now, in the link's thread."""


class OpenPiPolicy:
    """A `Policy` whose inference is on an openpi server.

    openpi knows neither weights' hashes nor episodes. When a server comes back and says something
    else of itself, the rest of the episode is refused; `reset` goes on with it.

    Attributes:
        url: The server's.
        spec: Inputs and outputs, as the format says.
        noise_shape: (): the server draws its own noise.
    """

    def __init__(
        self,
        address: Address,
        wanted: OpenPiFormat,
        *,
        deadline_s: float = 1.0,
        link: LinkConfig | None = None,
        on_change: OnMetadata | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect; see `connect`."""
        self.url = address.url
        self.spec = wanted.spec
        self.noise_shape: tuple[int, ...] = ()
        self._address, self._format, self._joints = address, wanted, JointValues(wanted)
        self._deadline_s, self._clock, self._on_change = deadline_s, clock, on_change
        self._state = threading.Lock()
        self._newest = b""
        self._link = Link(
            address.url,
            self._dial,
            link or LinkConfig(),
            rng=np.random.default_rng(),
            clock=clock,
            keeps_late=False,
        )
        self._link.open()
        self._used = self._newest

    @classmethod
    def connect(
        cls,
        url: str,
        wanted: OpenPiFormat,
        *,
        token: str = "",
        ca: Path | None = None,
        deadline_s: float = 1.0,
        on_change: OnMetadata | None = None,
    ) -> "OpenPiPolicy":
        """Return the policy of a server that answers, and keep the connection until `close`.

        Args:
            url: ``ws://host:port`` or ``wss://host:port``.
            wanted: What the server expects and gives.
            token: Sent as openpi's ``Api-Key``; empty for none.
            ca: Certificates that are trusted, PEM; None for those the machine trusts.
            deadline_s: Longest wait for a chunk [s].
            on_change: Told when the server says something else of itself than before.

        Raises:
            ConfigError: The url, the certificates or the calibration are of no use.
            ServerLostError: Nothing answers there in time.
            ServerRefusedError: The server refuses, cannot be trusted, or is of another kind.
        """
        headers = {"Authorization": f"Api-Key {token}"} if token else {}
        address = Address(url=url, headers=headers, ca=ca)
        return cls(address, wanted, deadline_s=deadline_s, on_change=on_change)

    @property
    def metadata(self) -> Any:
        """What the server says of itself."""
        return unpack_openpi(self._newest)

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
        """Have a chunk planned.

        Raises:
            ConfigError: Noise, an indicator, guidance or a prefix: openpi has no word for them.
            ObservationError: An input is missing or not finite.
            ServerLostError: There is no connection, or no answer before the deadline.
            ServerRefusedError: The server refuses, failed, or is another one than the episode
                began with.
        """
        asked = {"noise": noise, "indicator": indicator, "guidance": guidance, "prefix": prefix}
        unknown = [name for name, value in asked.items() if value is not None]
        if unknown:
            raise ConfigError(f"{self.url}: openpi's protocol has no {', '.join(unknown)}")
        deadline_s = self._clock() + self._deadline_s
        message = pack_openpi(self._inputs(observation))
        if self._newest != self._used:
            raise ServerRefusedError(
                f"{self.url}: came back as another server than this episode began with"
            )
        actions = self._link.exchange([message], self._actions, deadline_s)
        chunk = ActionChunk(
            stamp_ns=observation.stamp_ns,
            positions=frozen(self._joints.chunk(actions, observation.positions)),
            rate_hz=self._format.rate_hz,
        )
        if not is_finite_chunk(chunk, len(self.spec.joints)):
            raise ServerRefusedError(f"{self.url}: answers with a chunk that is not finite")
        return Inference(chunk=chunk, native_action=actions)

    def reset(self) -> None:
        """Begin an episode, with whatever server is there by then."""
        with self._state:
            self._used = self._newest

    def close(self) -> None:
        """End the connection; the policy is of no more use."""
        self._link.close()

    def _inputs(self, observation: Observation) -> dict[str, Any]:
        wanted = self._format
        positions = finite(observation.positions, "positions")
        values: dict[str, Any] = {}
        for key, camera in wanted.images.items():
            image = None if camera in observation.missing else observation.images.get(camera)
            if image is None:
                why = "openpi has no way to say so"
                raise ObservationError(f"observation: no image of camera {camera!r}; {why}")
            values[key] = fit_image(image, wanted.image_size)
        values[wanted.state_key] = self._joints.state(positions).astype(np.float32)
        if wanted.prompt_key:
            values[wanted.prompt_key] = observation.task or wanted.task
        return values

    def _actions(self, data: bytes | str) -> FloatArray:
        """Return the chunk of an answer as the server gave it. Shape (horizon, joints)."""
        if isinstance(data, str):
            last = (data.strip().splitlines() or ["nothing"])[-1][:_SHOWN]
            raise ServerRefusedError(f"{self.url}: the server failed: {last}")
        answer, key = unpack_openpi(data), self._format.actions_key
        actions = answer.get(key) if isinstance(answer, dict) else None
        if not isinstance(actions, np.ndarray) or actions.dtype.kind != "f":
            raise ProtocolError(f"no array of numbers under {key!r}")
        shape = (self._format.horizon, len(self._format.joints))
        if actions.shape != shape:
            raise ProtocolError(f"{key} of shape {actions.shape}, expected {shape}")
        return frozen(actions.astype(np.float64))

    def _dial(self, deadline_s: float) -> WebSocket:
        made = open_websocket(self._address, deadline_s=deadline_s, clock=self._clock)
        try:
            self._hear(_greeting(made, deadline_s))
        except BaseException:
            made.close()
            raise
        return made

    def _hear(self, metadata: bytes) -> None:
        """Take note of what the server says of itself, before anything is asked of it."""
        with self._state:
            before, self._newest = self._newest, metadata
        if before and before != metadata and self._on_change is not None:
            self._on_change(unpack_openpi(before), unpack_openpi(metadata))


def _greeting(made: WebSocket, deadline_s: float) -> bytes:
    try:
        data = made.receive(deadline_s)
        if isinstance(data, str) or not isinstance(unpack_openpi(data), dict):
            raise ProtocolError("no mapping")
    except TimeoutError as error:
        raise ServerLostError(f"{made.url}: connects, but says nothing") from error
    except ProtocolError as error:
        raise ServerRefusedError(f"{made.url}: does not speak openpi: {error}") from error
    return data
