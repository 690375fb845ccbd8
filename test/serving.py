"""A policy server on loopback, and peers that speak to it byte by byte, for tests."""

import base64
import os
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

from contracts.policy_factories import make_observation
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from so101.policies.hold_policy import HoldPolicy
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.hosting import HostedServer
from so101.policies.remote.server.inference import Served
from so101.policies.remote.server.server import PolicyServer
from so101.policies.remote.wire.messages import SUBPROTOCOL, InferRequest
from so101.policies.remote.wire.protocol import pack_message, unpack_answer

SHA = "ab" * 32
TOKEN = "correct-horse-battery-staple"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class SlowPolicy(HoldPolicy):
    """Infers only when it is let."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.is_inside = threading.Event()
        self.inferred = []
        self.resets = 0

    def infer(self, observation, **asked):
        self.is_inside.set()
        assert self.gate.wait(20.0)
        self.inferred.append(observation)
        return super().infer(observation, **asked)

    def reset(self):
        self.resets += 1


@contextmanager
def serving(policy=None, *, sha256=SHA, token=None, tls=None, **config):
    """Serve a policy on a free port of this machine."""
    served = Served(policy=policy or HoldPolicy(), sha256=sha256)
    server = PolicyServer(served, ServerConfig(port=0, **config), token=token, tls=tls)
    with HostedServer(server):
        yield server


class Robot:
    """A peer that speaks so101.v1."""

    def __init__(self, server, headers=None, **options):
        scheme = "wss" if "ssl" in options else "ws"
        self._stack = ExitStack()
        connection = connect(
            f"{scheme}://127.0.0.1:{server.port}",
            subprotocols=[SUBPROTOCOL],
            additional_headers=headers,
            compression=None,
            proxy=None,
            **options,
        )
        self.socket = self._stack.enter_context(connection)
        self.hello = self.read()
        self.last = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()

    def read(self, timeout=10.0):
        return unpack_answer(self.socket.recv(timeout))

    def send(self, number=None, observation=None, timeout_ms=10_000.0, **asked):
        self.last = self.last + 1 if number is None else number
        request = InferRequest(
            id=self.last,
            observation=observation or make_observation(),
            timeout_ms=timeout_ms,
            **asked,
        )
        self.socket.send(pack_message(request))
        return self.last

    def ask(self, observation=None, **asked):
        self.send(observation=observation, **asked)
        return self.read()


def head(extra="", path="/", host="127.0.0.1", subprotocol=SUBPROTOCOL):
    """Return the bytes of a websocket handshake."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *([f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []),
        *([extra] if extra else []),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(data, *, fin=True, opcode=Opcode.BINARY):
    """Return the bytes of one frame of a client."""
    return Frame(opcode, data, fin).serialize(mask=True)


class RawPeer:
    """A TCP connection that may say anything."""

    def __init__(self, server, timeout=10.0):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=timeout)
        self.received = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def send(self, data):
        """Send; tell whether the server still takes it."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def until(self, mark):
        """Read until some bytes have come."""
        while mark not in self.received:
            data = self.socket.recv(65536)
            assert data, bytes(self.received[:500])
            self.received += data

    def closes_within(self, limit_s):
        """Tell whether the server closes in time; keep what it says meanwhile."""
        end = time.monotonic() + limit_s
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return False
            except OSError:
                return True
            if not data:
                return True
            self.received += data
        return False
