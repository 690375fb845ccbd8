"""A websocket to an inference server that never waits longer than it is told.

Framing is the protocol of ``websockets`` without its threads: what is sent and received passes
from the calling thread straight to the socket and back, which spares two changes of thread per
inference. Knows nothing of policies.
"""

import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from so101.errors import ConfigError, ServerLostError, ServerRefusedError

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""A chunk has a few kilobytes; whoever sends more than this is no inference server."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server is, and how it is spoken to.

    Attributes:
        url: ``ws://host:port`` or, encrypted, ``wss://host:port``.
        headers: Sent with the request to connect, such as the token.
        ca: Certificates that are trusted, PEM; None for those the machine trusts.
        subprotocol: What the server must speak; empty when it does not say.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca: Path | None = None
    subprotocol: str = ""


_READ_BYTES = 1 << 16
_REFUSALS = {CloseCode.POLICY_VIOLATION, CloseCode.MESSAGE_TOO_BIG, CloseCode.UNSUPPORTED_DATA}
_SHOWN = 200
"""Characters of a peer's own words that a message carries."""


class WebSocket:
    """One connection. Used by one thread at a time; only `abort` may come from another.

    Attributes:
        url: Where it leads, for messages.
        heard_s: When something last came from the server, by the clock [s].
        has_pinged: A ping is on its way and nothing came back since.
    """

    def __init__(
        self,
        address: Address,
        sock: socket.socket,
        uri: WebSocketURI,
        clock: Callable[[], float],
    ) -> None:
        """Take over a socket that is connected; `open_websocket` makes one that is ready."""
        self.url = address.url
        self._address = address
        self.heard_s = clock()
        self.has_pinged = False
        self._socket = sock
        self._clock = clock
        spoken = [Subprotocol(address.subprotocol)] if address.subprotocol else None
        self._protocol = ClientProtocol(uri, max_size=MAX_ANSWER_BYTES, subprotocols=spoken)
        self._inbox: deque[bytes | str] = deque()
        self._fragments: list[bytes] = []
        self._opcode = Opcode.BINARY

    def shake_hands(self, deadline_s: float) -> None:
        """Become a websocket, by the clock at the latest then [s].

        Raises:
            ServerLostError: Nothing, or no websocket, answers in time.
            ServerRefusedError: The server refuses, for instance for want of a token.
            TimeoutError: The deadline passed.
        """
        request = self._protocol.connect()
        for name, value in self._address.headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush(deadline_s)
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            self._read(deadline_s)
        error = self._protocol.handshake_exc
        if isinstance(error, InvalidStatus):
            raise ServerRefusedError(f"{self.url}: refuses: {_status(error.response)}")
        if error is not None:
            why = error.__cause__ or error
            raise ServerLostError(f"{self.url}: no websocket answers there: {why}")
        if self._protocol.subprotocol != (self._address.subprotocol or None):
            wanted = self._address.subprotocol
            raise ServerRefusedError(f"{self.url}: a websocket, but not one of {wanted}")

    def send(self, message: bytes, deadline_s: float) -> None:
        """Send one binary message.

        Raises:
            ServerLostError: It did not go out whole in time; the connection is of no more use.
        """
        self._check_open()
        self._protocol.send_binary(message)
        self._flush(deadline_s)

    def receive(self, deadline_s: float) -> bytes | str:
        """Return the next message; text is what the server says to a person.

        Raises:
            ServerLostError: The connection ended.
            ServerRefusedError: The server ended it because of what was sent.
            TimeoutError: The deadline passed. What comes later is there for the next call.
        """
        while not self._inbox:
            self._check_open()
            self._read(deadline_s)
        return self._inbox.popleft()

    def poll(self) -> None:
        """Read what is there without waiting: answer pings, notice the end.

        Raises:
            ServerLostError: The connection ended.
            ServerRefusedError: The server ended it because of what was sent.
        """
        try:
            while True:
                self._check_open()
                self._read(None)
        except TimeoutError:
            return

    def ping(self) -> None:
        """Ask for a sign of life; `poll` and `receive` hear it.

        Raises:
            ServerLostError: The connection takes nothing any more.
        """
        self._check_open()
        self._protocol.send_ping(b"")
        self.has_pinged = True
        # A ping that does not fit into the send buffer at once is an answer in itself.
        self._flush(self._clock() + 1e-3)

    def close(self) -> None:
        """Say goodbye without waiting for an answer."""
        with suppress(ServerLostError):  # nobody may be there to hear it
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
                self._flush(self._clock() + 1e-2)
        self._socket.close()

    def abort(self) -> None:
        """Make every call that waits in another thread end at once."""
        with suppress(OSError):  # it may be gone already
            self._socket.shutdown(socket.SHUT_RDWR)

    def _check_open(self) -> None:
        if self._protocol.state is State.OPEN:
            return
        said = self._protocol.close_rcvd
        if said is None:
            cause = self._protocol.parser_exc
            why = f": {cause}" if cause is not None and not isinstance(cause, EOFError) else ""
            raise ServerLostError(f"{self.url}: the connection was lost{why}")
        words = f"{self.url}: the server closed the connection: {said.code} {said.reason}".strip()
        raise (ServerRefusedError if said.code in _REFUSALS else ServerLostError)(words)

    def _read(self, deadline_s: float | None) -> None:
        """Take in what arrives; None does not wait."""
        remaining = 0.0 if deadline_s is None else deadline_s - self._clock()
        if deadline_s is not None and remaining <= 0.0:
            raise TimeoutError
        self._socket.settimeout(remaining)
        try:
            data = self._socket.recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError) as error:
            raise TimeoutError from error
        except TimeoutError:
            raise
        except OSError as error:
            raise ServerLostError(f"{self.url}: the connection was lost: {error}") from error
        if data:
            self.heard_s = self._clock()
            self.has_pinged = False
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._sort(event)
        self._flush(self._clock() + 1e-2)

    def _sort(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.BINARY, Opcode.TEXT):
            self._opcode, self._fragments = frame.opcode, []
        elif frame.opcode is not Opcode.CONT:
            return  # the protocol answers pings and goodbyes itself
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            whole = b"".join(self._fragments)
            text = self._opcode is Opcode.TEXT
            self._inbox.append(whole.decode(errors="replace") if text else whole)
            self._fragments = []

    def _flush(self, deadline_s: float) -> None:
        for data in self._protocol.data_to_send():
            try:
                self._socket.settimeout(max(deadline_s - self._clock(), 1e-4))
                if data:
                    self._socket.sendall(data)
                else:
                    self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:  # a deadline, too: a message that is cut off ends it all
                self.abort()
                why = str(error) or type(error).__name__
                raise ServerLostError(f"{self.url}: cannot be sent to: {why}") from error


def open_websocket(
    address: Address, *, deadline_s: float, clock: Callable[[], float]
) -> WebSocket:
    """Connect, and shake hands.

    Args:
        address: Where.
        deadline_s: By the clock [s].
        clock: Monotonic [s].

    Raises:
        ConfigError: The url or the certificates' file is of no use.
        ServerLostError: Nothing answers in time.
        ServerRefusedError: The server refuses, or cannot be trusted.
    """
    url = address.url
    uri = _parse(url)
    context = _trust(url, address.ca) if uri.secure else None
    within_s = deadline_s - clock()
    try:
        sock = socket.create_connection((uri.host, uri.port), timeout=max(within_s, 1e-3))
    except OSError as error:
        raise ServerLostError(f"{url}: cannot be reached: {error}") from error
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            sock.settimeout(max(deadline_s - clock(), 1e-3))
            sock = context.wrap_socket(sock, server_hostname=uri.host)
        made = WebSocket(address, sock, uri, clock)
        made.shake_hands(deadline_s)
    except BaseException as error:
        sock.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message
            raise ServerRefusedError(f"{url}: its certificate is not trusted: {why}") from error
        if isinstance(error, TimeoutError):
            raise ServerLostError(f"{url}: no websocket within {within_s:.1f} s") from error
        if isinstance(error, OSError):
            raise ServerLostError(f"{url}: cannot be reached: {error}") from error
        raise
    return made


def _parse(url: str) -> WebSocketURI:
    try:
        return parse_uri(url)
    except (InvalidURI, ValueError) as error:
        raise ConfigError(f"{url}: not a ws:// or wss:// address: {error}") from error


def _trust(url: str, ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigError(f"{ca}: no certificates to trust {url} with: {error}") from error


def _status(response: Response) -> str:
    words = (response.body or b"").decode(errors="replace").split("\n", 1)[0][:_SHOWN].strip()
    said = f"{response.status_code} {response.reason_phrase}"
    return f"{said}: {words}" if words else said
