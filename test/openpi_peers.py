"""openpi's websocket protocol from its other side, written from the protocol alone.

A server and a client as openpi-client 0.1 speaks to them: a dictionary that describes the server,
then dictionaries of arrays to and fro, texts for what went wrong. Nothing here is the project's,
so that the project's own reading and writing is checked against it.
"""

import msgpack
import numpy as np
from scripted_server import ThreadedServer
from websockets.sync.client import connect


def mark(value):
    """Write an array or a number of numpy, as openpi does."""
    if isinstance(value, np.ndarray):
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": value.dtype.str,
            b"shape": value.shape,
        }
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    return value


def unmark(value):
    """Read an array or a number of numpy, as openpi does."""
    if b"__ndarray__" in value:
        flat = np.frombuffer(value[b"data"], dtype=np.dtype(value[b"dtype"]))
        return flat.reshape(value[b"shape"])
    if b"__npgeneric__" in value:
        return np.dtype(value[b"dtype"]).type(value[b"data"])
    return value


def pack(value):
    return msgpack.packb(value, default=mark)


def unpack(data):
    return msgpack.unpackb(data, object_hook=unmark)


class OpenPiServer(ThreadedServer):
    """An openpi server whose chunk is the state it saw plus a step per point.

    Attributes:
        metadata: What it says of itself.
        horizon: Points of its chunks.
        step: Added per point.
        key: Of the chunk in its answers.
        failure: Text that it answers with before it hangs up; empty to answer.
        delay_s: Before every answer [s].
        token: What clients must name; empty to let everybody in.
        seen: Every observation.
    """

    def __init__(self, port=0, horizon=10, metadata=None):
        self.metadata = {"policy": "test"} if metadata is None else metadata
        self.horizon = horizon
        self.step = 0.5
        self.key = "actions"
        self.failure = ""
        self.delay_s = 0.0
        self.token = ""
        self.seen = []
        self.dtype = np.float32
        super().__init__(port)

    def admit(self, connection, request):
        if self.token and request.headers.get("Authorization") != f"Api-Key {self.token}":
            return connection.respond(403, "who are you?\n")
        return None

    def talk(self, connection):
        connection.send(pack(self.metadata))
        for data in connection:
            observation = unpack(data)
            self.seen.append(observation)
            self.pause(self.delay_s)
            if self.failure:
                connection.send(self.failure)
                connection.close(1011, "Internal server error. Traceback included.")
                return
            connection.send(pack(self.answer(observation)))

    def answer(self, observation):
        """Return what an observation is answered with."""
        steps = self.step * np.arange(self.horizon)[:, None]
        actions = (observation["observation/state"] + steps).astype(self.dtype)
        return {self.key: actions, "server_timing": {"infer_ms": np.float64(1.5)}}


class OpenPiClient:
    """Asks a server as openpi's client does; a context manager."""

    def __init__(self, url, token=""):
        headers = {"Authorization": f"Api-Key {token}"} if token else None
        self._connect = connect(
            url, compression=None, max_size=None, additional_headers=headers, proxy=None
        )

    def __enter__(self):
        self.socket = self._connect.__enter__()
        self.metadata = unpack(self.socket.recv())
        return self

    def __exit__(self, *error):
        self._connect.__exit__(*error)

    def infer(self, observation):
        self.socket.send(pack(observation))
        answer = self.socket.recv()
        if isinstance(answer, str):
            raise RuntimeError(f"Error in inference server:\n{answer}")
        return unpack(answer)

    def get_server_metadata(self):
        return self.metadata
