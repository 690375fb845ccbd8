"""One peer of the server: a websocket connection that cannot be held open by doing nothing."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from websockets.asyncio.server import Server, ServerConnection
from websockets.exceptions import ConnectionClosed, NegotiationError
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from so101.policies.remote.server.admission import Intake
from so101.policies.remote.server.stream_watch import StreamWatch
from so101.policies.remote.wire.messages import SUBPROTOCOL

HANDSHAKE_S = 2.0
"""For each of TLS and HTTP. A peer has sent its request by then, or is let go [s]."""

SEND_S = 4.0
"""In which a peer must have read an answer [s]."""

ALIVE_S = 4.0
"""In which a new peer must have answered a ping [s]."""

MESSAGE_S = 4.0
"""From the first to the last byte of a message [s]; 8 MB at 16 Mbit/s."""


class GuardedConnection(ServerConnection):
    """A connection whose messages must be complete in time and together fit into memory."""

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        intake: Intake,
        on_cut: Callable[[str], None],
        **options: Any,
    ) -> None:
        """Guard a connection.

        Args:
            protocol: websockets' state machine.
            server: websockets' server.
            intake: Counts the unfinished messages of all connections.
            on_cut: Told why, when this or another connection is cut.
            **options: Time-outs and sizes, as for `ServerConnection`.
        """
        super().__init__(protocol, server, **options)
        self._watch, self._intake, self._on_cut = StreamWatch(), intake, on_cut
        self._timer: asyncio.TimerHandle | None = None
        self._timed = 0

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer."""
        super().data_received(data)
        self._watch.feed(data)
        victim = self._intake.set(self, self._watch.pending)
        if victim is not None:
            victim.cut("memory")
        self._time_message()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the peer."""
        self._intake.set(self, 0)
        self._stop_timer()
        super().connection_lost(exc)
        self.protocol.parser.close()  # it holds the last message until the next collection

    def cut(self, reason: str) -> None:
        """End the connection at once, without a word."""
        self._intake.set(self, 0)
        self._on_cut(reason)
        self.transport.abort()

    def _time_message(self) -> None:
        if self._watch.pending == 0:
            self._stop_timer()
        elif self._timer is None or self._timed != self._watch.completed:
            self._stop_timer()
            self._timed = self._watch.completed
            self._timer = self.loop.call_later(MESSAGE_S, self.cut, "slow")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def choose_subprotocol(
    connection: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    """Return ours where it is offered; None for openpi's peers, who offer none.

    Raises:
        NegotiationError: Only others are offered.
    """
    if not offered:
        return None
    if SUBPROTOCOL in offered:
        return Subprotocol(SUBPROTOCOL)
    raise NegotiationError("unknown subprotocol")


async def send_to(peer: ServerConnection, data: bytes | str) -> None:
    """Send to a peer; cut it where it does not read."""
    try:
        async with asyncio.timeout(SEND_S):
            await peer.send(data)
    except TimeoutError:
        _cut(peer, "does not read")
    except ConnectionClosed:
        pass


async def prove_alive(peer: ServerConnection) -> None:
    """Cut whoever opens a connection and then does not even answer a ping."""
    try:
        async with asyncio.timeout(ALIVE_S):
            await (await peer.ping())
    except TimeoutError:
        _cut(peer, "silent")
    except ConnectionClosed:
        pass


def _cut(peer: ServerConnection, reason: str) -> None:
    if isinstance(peer, GuardedConnection):
        peer.cut(reason)
