"""The policy server: one websocket per robot, one thread that infers, one event loop between them.

The loop never runs the policy, so it can always answer, time out and refuse. It owns nothing of
the wire format (``dialects``), of the rules for peers (``access``, ``admission``, ``connection``)
or of what waits and is inferred (``passes``).
"""

import asyncio
import logging
import ssl
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from so101.errors import CheckpointError, ConfigError
from so101.policies.checkpoints.live_versions import LiveVersions
from so101.policies.remote.server.access import Access
from so101.policies.remote.server.admission import BACKLOG, Door, Intake, listen
from so101.policies.remote.server.batching import Job
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.connection import (
    HANDSHAKE_S,
    SEND_S,
    GuardedConnection,
    choose_subprotocol,
    prove_alive,
    send_to,
)
from so101.policies.remote.server.conversation import Conversation
from so101.policies.remote.server.dialects import Dialect, NativeDialect, OpenpiDialect
from so101.policies.remote.server.inference import Served
from so101.policies.remote.server.metrics import Metrics
from so101.policies.remote.server.passes import Passes
from so101.policies.remote.wire.messages import (
    SUBPROTOCOL,
    Answer,
    Failure,
    Health,
    Hello,
)
from so101.policies.remote.wire.msgpack_reader import MESSAGE_BYTES

_log = logging.getLogger(__name__)
_wire_log = logging.getLogger("so101.websockets")
_wire_log.setLevel(logging.CRITICAL + 1)  # it would write tokens at DEBUG, tracebacks at ERROR
STUCK_S = 10.0
"""A pass of the policy that takes longer makes the health page say so [s]."""


class PolicyServer:
    """Serves one policy to many robots.

    Attributes:
        metrics: What it has done.
    """

    def __init__(
        self,
        served: Served,
        config: ServerConfig | None = None,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        on_busy: Callable[[bool], None] = lambda is_busy: None,
    ) -> None:
        """Prepare a server; nothing is bound yet.

        Args:
            served: The policy it begins with.
            config: How it serves.
            token: Secret that peers must know.
            tls: What it encrypts with.
            on_busy: Told when a request waits or runs, and when none does any more.

        Raises:
            ConfigError: Other machines can reach it and there is no token.
        """
        self.metrics = Metrics()
        self._config, self._tls = config or ServerConfig(), tls
        self._versions = LiveVersions(served, self._config.max_versions)
        self._on_busy, self._is_busy = on_busy, False
        self._access = Access(self._config.host, token)
        self._door, self._intake = Door(self._config.max_connections + 64), Intake()
        self._peers: set[ServerConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passes = Passes(
            self._versions,
            self._config,
            peers=lambda: len(self._peers),
            on_quiet=lambda: self._loop.call_soon_threadsafe(self._look_whether_quiet),
        )
        self._began_s = 0.0
        self._port = 0
        self._is_stopping = False
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop

    @property
    def port(self) -> int:
        """TCP port it listens on."""
        return self._port

    @property
    def served(self) -> Served:
        """What plans the first chunk of an episode that begins now."""
        return self._versions.newest

    def swap(self, served: Served) -> None:
        """Let another checkpoint plan from the next pass or episode on. Any thread may call it.

        Args:
            served: Loaded and tried; it must not be used elsewhere any more.

        Raises:
            CheckpointError: Its inputs or outputs differ from what the peers were told.
        """
        old, new = self.served.policy, served.policy
        if new.spec != old.spec or new.noise_shape != old.noise_shape:
            raise CheckpointError(
                f"checkpoint {served.sha256[:12]}: its inputs, outputs or noise differ from those "
                "that are served; start a server of its own for it"
            )
        if self._config.swap_rule == "chunk":
            self._versions.replace(served)
        else:
            self._versions.publish(served)
        self.metrics.swaps += 1

    async def start(self) -> None:
        """Bind and begin to serve.

        Raises:
            ConfigError: The address is unknown or taken.
        """
        host, port = self._config.host, self._config.port
        try:
            listener = listen(host, port, self._door)
        except OSError as error:
            raise ConfigError(f"cannot serve on {host}:{port}: {error.strerror}") from error
        self._port = listener.getsockname()[1]
        self._began_s = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._passes.start()
        guarded: Any = partial(GuardedConnection, intake=self._intake, on_cut=self._count_cut)
        self._server = await serve(
            self._talk,
            sock=listener,
            backlog=BACKLOG,  # asyncio listens once more, with 100 of its own
            ssl=self._tls,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            select_subprotocol=choose_subprotocol,
            compression=None,
            process_request=self._on_request,
            server_header=None,
            open_timeout=HANDSHAKE_S,
            close_timeout=0.5,
            max_size=MESSAGE_BYTES,
            max_queue=2,
            logger=_wire_log,
            create_connection=guarded,
        )

    async def stop(self) -> None:
        """Finish the pass that runs, tell who waits, and close every connection."""
        if self._server is None:
            return
        self._server.close(close_connections=False)
        self._is_stopping = True
        await asyncio.to_thread(self._passes.stop)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SEND_S)
        await asyncio.gather(*(peer.close(1001, "going down") for peer in self._peers))
        await self._server.wait_closed()

    def submit(self, job: Job) -> Job | None:
        """Queue a request; see `so101.policies.remote.server.conversation.Desk`."""
        self._say_busy(True)
        return self._passes.put(job)

    def count(self, outcome: Answer | Failure) -> None:
        """Count what became of a request."""
        if isinstance(outcome, Answer):
            self.metrics.requests["answered"] += 1
            self.metrics.add_timings(outcome.timings_ms)
        else:
            self.metrics.requests[outcome.code.value] += 1

    def health(self, number: int) -> Health:
        """Return how the server is."""
        return Health(
            id=number,
            checkpoint=self.served.sha256,
            uptime_s=time.monotonic() - self._began_s,
            connections=len(self._peers),
            waiting=len(self._passes),
        )

    async def reset(self, peer: ServerConnection) -> None:
        """Begin a peer's next episode, after what the policy does now."""
        served = self._versions.begin(peer)
        await asyncio.wrap_future(self._passes.run(served.policy.reset))

    def send(self, peer: ServerConnection, data: bytes | str) -> asyncio.Task[None]:
        """Send to a peer, or cut it where it does not read."""
        task = _begin(send_to(peer, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _on_request(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return self._respond_health(connection)
        headers = request.headers
        refusal = self._access.refusal(
            headers.get_all("Authorization"), headers.get_all("Origin"), _host(headers)
        )
        if refusal is not None:
            self.metrics.refused[refusal[1]] += 1
            return connection.respond(refusal[0], refusal[1] + "\n")
        if path == "/metrics":
            return self._respond_metrics(connection)
        if len(self._peers) >= self._config.max_connections:
            self.metrics.refused["full"] += 1
            return connection.respond(503, "too many connections\n")
        return None

    def _respond_health(self, connection: ServerConnection) -> Response:
        began_s = self._passes.busy_since_s
        busy_s = time.monotonic() - began_s if began_s else 0.0
        if busy_s > STUCK_S:
            return connection.respond(503, "stuck\n")
        return connection.respond(200, self.metrics.summary())

    def _respond_metrics(self, connection: ServerConnection) -> Response:
        self.metrics.batches = self._passes.count
        self.metrics.refused["too many sockets"] = self._door.turned_away
        self.metrics.gauges = {
            "connections": len(self._peers),
            "waiting": len(self._passes),
            "uptime_seconds": time.monotonic() - self._began_s,
        }
        return connection.respond(200, self.metrics.text())

    def _count_cut(self, reason: str) -> None:
        self.metrics.refused[reason] += 1

    async def _talk(self, peer: ServerConnection) -> None:
        is_native = peer.subprotocol == SUBPROTOCOL
        dialect: Dialect = NativeDialect() if is_native else OpenpiDialect(self._config.openpi)
        self._peers.add(peer)
        proof = asyncio.create_task(prove_alive(peer))
        try:
            served = self._versions.of(peer)
            hello = Hello(
                spec=served.policy.spec,
                checkpoint=served.sha256,
                noise_shape=served.policy.noise_shape,
            )
            await self.send(peer, dialect.greet(hello))
            await Conversation(self, peer, dialect).run()
        except ConnectionClosed:
            pass
        finally:
            proof.cancel()
            self._passes.drop(peer)
            self._versions.leave(peer)
            self._peers.discard(peer)

    def _look_whether_quiet(self) -> None:
        """Say so in the next round of the loop: what was answered is sent before."""
        self._loop.call_soon(lambda: self._say_busy(not self._passes.is_idle))

    def _say_busy(self, is_busy: bool) -> None:
        if is_busy != self._is_busy:
            self._is_busy = is_busy
            self._on_busy(is_busy)


def _begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Return the task of some work that is done at once where nothing must be waited for."""
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, eager_start=True)
    return loop.create_task(work)


def _host(headers: Headers) -> str:
    hosts = headers.get_all("Host")
    return hosts[0] if len(hosts) == 1 else ""
