"""The floor: as many bytes as this project's client sends, and a chunk's bytes back, over TCP."""

import socket
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from contender import CHUNK, HORIZON, JOINTS, Ask, Payload, answer_commands, serve_until_told

LENGTH = struct.Struct("!I")
OVERHEAD = 450
"""Bytes of joint positions, names and marks beside the images in a request of this project."""

Serve = Callable[[socket.socket], None]


def receive(sock: socket.socket, count: int) -> bytearray:
    """Return so many bytes.

    Raises:
        EOFError: The connection ended before.
    """
    data = bytearray(count)
    view, at = memoryview(data), 0
    while at < count:
        got = sock.recv_into(view[at:])
        if not got:
            raise EOFError
        at += got
    return data


def dial(port: int) -> socket.socket:
    """Return a connection without delay."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def serve(talk: Serve) -> None:
    """Serve each connection in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=quietly, args=(talk, sock), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    serve_until_told(listener.getsockname()[1])


def quietly(talk: Serve, sock: socket.socket) -> None:
    """Serve a connection until it ends."""
    try:
        while True:
            talk(sock)
    except (EOFError, OSError):
        sock.close()


def echo(sock: socket.socket) -> None:
    """Answer so many bytes with the bytes of a chunk."""
    (count,) = LENGTH.unpack(receive(sock, LENGTH.size))
    receive(sock, count)
    sock.sendall(CHUNK.tobytes())


def asks_echo(payload: Payload) -> Callable[[int], Ask]:
    """Return what connects to `echo`."""
    sizes = {
        mode: OVERHEAD + sum(memoryview(image).nbytes for image in payload.images(mode).values())
        for mode in ("raw", "jpeg")
    }
    messages = {mode: LENGTH.pack(size) + bytes(size) for mode, size in sizes.items()}

    def connect(port: int) -> Ask:
        sock = dial(port)

        def ask(mode: str) -> None:
            sock.sendall(messages[mode])
            receive(sock, HORIZON * JOINTS * 8)

        return ask

    return connect


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(echo)
    else:
        answer_commands(asks_echo(Payload.read(Path(sys.argv[2]))))
