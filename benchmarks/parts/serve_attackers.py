"""Hostile peers of a policy server, byte by byte. Each session ends when the server closes it."""

import base64
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgpack
import numpy as np

from so101.images import encode_jpeg
from so101.observation import Observation
from so101.policies.remote.wire.messages import SUBPROTOCOL, InferRequest
from so101.policies.remote.wire.protocol import pack_message

PATIENCE_S = 12.0
"""How long a session goes on when the server does not close it."""

_MASK = b"\0\0\0\0"  # masking with zeros changes nothing


@dataclass(frozen=True, kw_only=True)
class Session:
    """What became of one hostile connection.

    Attributes:
        closed_s: From the first hostile byte to the server's closing it; infinite when it did not.
        said: What the server said.
    """

    closed_s: float
    said: bytes


class Target:
    """A server on this machine, and what it wants to hear."""

    def __init__(self, port: int, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        """Aim at a port of this machine."""
        self.port, self.token, self.tls = port, token, tls

    def connect(self) -> socket.socket:
        """Return a TCP or TLS connection."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        return self.tls.wrap_socket(plain) if self.tls else plain

    def enter(self) -> socket.socket:
        """Return a websocket connection that the server takes for a robot's.

        Raises:
            ConnectionError: It was turned away.
        """
        connection = self.connect()
        try:
            connection.sendall(head([f"Authorization: Bearer {self.token}"] if self.token else []))
            said = b""
            while b"\r\n\r\n" not in said:
                if not (data := connection.recv(1)):
                    break
                said += data
            if not said.startswith(b"HTTP/1.1 101"):
                raise ConnectionError(said.decode(errors="replace"))
        except BaseException:
            connection.close()
            raise
        return connection


def head(extra: list[str]) -> bytes:
    """Return a websocket handshake."""
    lines = [
        "GET / HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}",
        *extra,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(size: int, opcode: int = 2, *, final: bool = True) -> bytes:
    """Return the head of a frame that claims a size."""
    return struct.pack(">BBQ", (0x80 if final else 0) | opcode, 0xFF, size) + _MASK


def message(data: bytes) -> bytes:
    """Return one whole frame."""
    return frame(len(data)) + data


def observation() -> Observation:
    """Return one that any policy of six joints can read."""
    zeros = np.zeros(6)
    return Observation(stamp_ns=0, positions=zeros, velocities=zeros, effort=zeros, command=zeros)


def request(number: int, **asked: object) -> bytes:
    """Return a well-formed request."""
    whole = InferRequest(id=number, observation=observation(), timeout_ms=5000.0, **asked)  # type: ignore[arg-type]
    return pack_message(whole)


def array(dtype: object, shape: object, data: bytes = b"\0" * 48) -> bytes:
    """Return a request whose positions are described so."""
    whole = msgpack.unpackb(request(1))
    whole["observation"]["positions"] = {"__array__": dtype, "shape": shape, "data": data}
    return bytes(msgpack.packb(whole))


def bomb() -> bytes:
    """Return a request with a JPEG of a few bytes that claims 8000x8000 pixels."""
    jpeg = encode_jpeg(np.zeros((16, 16, 3), dtype=np.uint8))
    at = jpeg.index(b"\xff\xc0")
    huge = jpeg[: at + 5] + struct.pack(">HH", 8000, 8000) + jpeg[at + 9 :]
    return request(1, compressed={"front": huge, "wrist": huge})


def _await_close(connection: socket.socket, began: float, trickle: bytes = b"") -> Session:
    """Read until the server closes, sending a byte a second."""
    said, sent = b"", 0
    connection.settimeout(1.0 if trickle else PATIENCE_S)
    while (now := time.monotonic()) - began < PATIENCE_S:
        try:
            data = connection.recv(65536)
            if not data:
                return Session(closed_s=time.monotonic() - began, said=said)
            said += data
        except TimeoutError:
            try:
                connection.sendall(trickle[sent % len(trickle) :][:1] if trickle else b"")
            except OSError:
                return Session(closed_s=now - began, said=said)
            sent += 1
        except OSError:
            return Session(closed_s=time.monotonic() - began, said=said)
    return Session(closed_s=float("inf"), said=said)


def _handshake(extra: list[str]) -> Callable[[Target], Session]:
    def attack(target: Target) -> Session:
        with target.connect() as connection:
            began = time.monotonic()
            connection.sendall(head(extra))
            return _await_close(connection, began)

    return attack


def _inside(*messages: bytes) -> Callable[[Target], Session]:
    def attack(target: Target) -> Session:
        with target.enter() as connection:
            began = time.monotonic()
            try:
                for one in messages:
                    connection.sendall(one)
            except OSError:
                pass
            return _await_close(connection, began)

    return attack


def _slow_handshake(target: Target) -> Session:
    with target.connect() as connection:
        return _await_close(connection, time.monotonic(), head(["X-Padding: " + "x" * 9999]))


def _slow_frame(target: Target) -> Session:
    with target.enter() as connection:
        began = time.monotonic()
        connection.sendall(frame(100_000))
        return _await_close(connection, began, b"x" * 100)


def _slow_fragments(target: Target) -> Session:
    with target.enter() as connection:
        began = time.monotonic()
        connection.sendall(frame(1, final=False) + b"x")
        return _await_close(connection, began, struct.pack(">BB", 0, 0x80) + _MASK)


def _silence(target: Target) -> Session:
    with target.enter() as connection:
        return _await_close(connection, time.monotonic())


def _stream(target: Target) -> Session:
    with target.enter() as connection:
        began = time.monotonic()
        piece = b"x" * (1024 * 1024)
        try:
            for number in range(12):
                opcode = 0 if number else 2
                connection.sendall(frame(len(piece), opcode, final=False) + piece)
        except OSError:
            pass
        return _await_close(connection, began)


ATTACKS: dict[str, Callable[[Target], Session]] = {
    "unauthenticated": _handshake([]),
    "wrong token": _handshake(["Authorization: Bearer wrong-wrong-wrong-wrong"]),
    "evil origin": _handshake(["Origin: https://evil.example"]),
    "no websocket": _handshake(["Upgrade: h2c"]),
    "oversize declared": _inside(frame(9 * 1024 * 1024)),
    "oversize of exabytes": _inside(frame(2**62)),
    "oversize streamed": _stream,
    "slow handshake": _slow_handshake,
    "slow frame": _slow_frame,
    "slow fragments": _slow_fragments,
    "silence": _silence,
    "malformed msgpack": _inside(message(b"\xc1" * 64)),
    "a text": _inside(struct.pack(">BB", 0x81, 0x85) + _MASK + b"hello"),
    "object dtype": _inside(message(array("object", [6]))),
    "negative shape": _inside(message(array("float64", [-6]))),
    "huge shape": _inside(message(array("float64", [2**62, 6]))),
    "deep nesting": _inside(message(b"\x91" * 1_000_000)),
    "a list of millions": _inside(message(b"\xdd\x00\x7f\x00\x00" + b"\x90" * 0x7F0000)),
    "JPEG bomb": _inside(message(bomb())),
    "replayed request": _inside(message(request(7)), message(request(7))),
}
NEED_TOKEN = ("unauthenticated", "wrong token")
"""Attacks on a server that asks for one."""


def crowd(target: Target, count: int) -> list[Session]:
    """Open many connections that say nothing, and see each of them closed."""
    opened: list[tuple[socket.socket, float]] = []
    try:
        for _ in range(count):
            opened.append((target.connect(), time.monotonic()))
        return [_await_close(connection, began) for connection, began in opened]
    finally:
        for connection, _ in opened:
            connection.close()
