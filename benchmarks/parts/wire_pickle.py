"""The careless way: pickles over TCP. Who can reach such a server can run any program there."""

import pickle
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from contender import CHUNK, Ask, Payload, answer_commands
from wire_tcp import LENGTH, dial, receive, serve


def unpickle(sock: socket.socket) -> None:
    """Answer a pickled observation with a pickled chunk."""
    (count,) = LENGTH.unpack(receive(sock, LENGTH.size))
    pickle.loads(receive(sock, count))
    answer = pickle.dumps({"actions": CHUNK}, protocol=5)
    sock.sendall(LENGTH.pack(len(answer)) + answer)


def asks_pickle(payload: Payload) -> Callable[[int], Ask]:
    """Return what connects to `unpickle`."""

    def connect(port: int) -> Ask:
        sock = dial(port)

        def ask(mode: str) -> None:
            seen = {"state": payload.positions, "task": "pick", "images": payload.images(mode)}
            data = pickle.dumps(seen, protocol=5)
            sock.sendall(LENGTH.pack(len(data)) + data)
            (count,) = LENGTH.unpack(receive(sock, LENGTH.size))
            pickle.loads(receive(sock, count))["actions"].sum()

        return ask

    return connect


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(unpickle)
    else:
        answer_commands(asks_pickle(Payload.read(Path(sys.argv[2]))))
