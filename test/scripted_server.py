"""A policy server for tests of clients: says what it is told to, when it is told to.

Its answers are made by the protocol's own writers; how it serves has nothing to do with the
server of the project.
"""

import contextlib
import threading
import time
from dataclasses import replace

import numpy as np
from websockets.sync.server import serve

from so101.action import ActionChunk, ActionSpace
from so101.errors import ProtocolError
from so101.policies.remote.wire.messages import (
    SUBPROTOCOL,
    Answer,
    Code,
    Done,
    Failure,
    Hello,
    InferRequest,
    Reset,
)
from so101.policies.remote.wire.protocol import pack_message, unpack_request
from so101.spec import PolicySpec

SPEC = PolicySpec(action_space=ActionSpace(horizon=16))


class ThreadedServer:
    """Serves websockets in threads on a port that survives a restart; a context manager."""

    subprotocols = None

    def __init__(self, port=0, ssl=None):
        self._server = serve(
            self._serve,
            "127.0.0.1",
            port,
            subprotocols=self.subprotocols,
            process_request=self.admit,
            ping_interval=None,
            compression=None,
            max_size=None,
            ssl=ssl,
        )
        self.port = self._server.socket.getsockname()[1]
        self.connections = []
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def admit(self, connection, request):
        """Return a response to refuse a request to connect."""

    def pause(self, duration_s):
        """Take a while."""
        time.sleep(duration_s)

    def talk(self, connection):
        """Serve one connection; it ends when this returns or the connection does."""
        raise NotImplementedError

    def close(self):
        self._server.shutdown()
        for connection in self.connections:
            connection.close_timeout = 0.0
            connection.close()
        self._thread.join()

    def _serve(self, connection):
        self.connections.append(connection)
        with contextlib.suppress(Exception):
            self.talk(connection)


class ScriptedServer(ThreadedServer):
    """Speaks so101.v1. Every point of its chunks is the command it saw plus its own number.

    Attributes:
        hello: What it says first.
        checkpoint: What its answers name.
        token: What clients must have; empty to let everybody in.
        delay_s: Before every answer [s].
        failure: Code of the failure that it answers with; None to answer.
        garble: Turns the bytes of an answer into what is sent.
        requests: Everything it was asked.
    """

    subprotocols = (SUBPROTOCOL,)

    def __init__(self, port=0, spec=SPEC, checkpoint="a" * 64, noise_shape=(), ssl=None):
        self.hello = Hello(spec=spec, checkpoint=checkpoint, noise_shape=noise_shape)
        self.checkpoint = checkpoint
        self.token = ""
        self.delay_s = 0.0
        self.failure = None
        self.garble = lambda data: data
        self.requests = []
        super().__init__(port, ssl)

    def admit(self, connection, request):
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return connection.respond(401, "a token is needed\nTraceback: none of your business")
        return None

    def talk(self, connection):
        connection.send(pack_message(self.hello))
        for data in connection:
            try:
                request = unpack_request(data)
            except ProtocolError as error:
                failure = Failure(id=-1, code=Code.MALFORMED, message=str(error))
                connection.send(pack_message(failure))
                return
            self.requests.append(request)
            self.pause(self.delay_s)
            connection.send(self.garble(pack_message(self.answer(request))))

    def answer(self, request):
        """Return what a request is answered with."""
        if isinstance(request, Reset):
            return Done(id=request.id)
        assert isinstance(request, InferRequest)
        if self.failure is not None:
            return Failure(id=request.id, code=self.failure, message="as the script says")
        space = self.hello.spec.action_space
        steps = np.arange(space.horizon)[:, None] * 1e-3
        positions = request.observation.command + steps
        if request.prefix is not None:
            decided = request.prefix.decided
            positions[:decided] = request.prefix.positions[:decided]
        chunk = ActionChunk(
            stamp_ns=request.observation.stamp_ns, positions=positions, rate_hz=space.rate_hz
        )
        noise = request.noise
        return Answer(
            id=request.id,
            checkpoint=self.checkpoint,
            chunk=chunk,
            native_action=positions,
            aux={} if noise is None else {"noise": noise},
            timings_ms={"infer": 0.5, "total": 1.0},
        )

    def learn(self, checkpoint):
        """Go on with other weights, without a word."""
        self.checkpoint = checkpoint

    def become(self, **values):
        """Say something else to clients that connect from now on."""
        self.hello = replace(self.hello, **values)
        self.checkpoint = self.hello.checkpoint
