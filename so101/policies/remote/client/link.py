"""One connection that comes back: requests in the caller's thread, everything else in another.

The caller's thread asks and waits until its deadline, no longer; it never connects. A thread of
the link's own connects again with growing delays, answers pings while nobody asks, and finds out
that a server is gone whose connection still looks alive.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from so101.config import option
from so101.errors import ProtocolError, ServerLostError, ServerRefusedError, So101Error
from so101.policies.remote.client.backoff import Backoff
from so101.policies.remote.client.websocket import WebSocket

T = TypeVar("T")

_LOOK_S = 0.2
"""How often an idle connection is looked at."""

_GOODBYE_S = 1.0
"""How long `Link.close` waits for its thread; one that is just connecting ends after that."""


@dataclass(frozen=True, kw_only=True)
class LinkConfig:
    """How a client looks after its connection."""

    connect: float = option(3.0, "longest time to connect and be greeted [s]", range=(0.1, 60.0))
    ping_interval: float = option(
        1.0, "silence after which a sign of life is asked for [s]", range=(0.05, 60.0)
    )
    ping_timeout: float = option(
        2.0, "without a sign of life for this long the server is gone [s]", range=(0.05, 60.0)
    )
    first_delay: float = option(
        0.1, "before connecting again for the first time [s]", range=(0.01, 60.0)
    )
    longest_delay: float = option(
        5.0, "between two attempts to connect, at most [s]", range=(0.01, 600.0)
    )


class Link:
    """Keeps one websocket to a server.

    Attributes:
        url: Where it leads, for messages.
        problem: Why there is no connection, for a person; empty while there is one.
        reconnects: How often the connection was made again.
    """

    def __init__(
        self,
        url: str,
        dial: Callable[[float], WebSocket],
        config: LinkConfig,
        *,
        rng: np.random.Generator,
        clock: Callable[[], float] = time.monotonic,
        keeps_late: bool = True,
    ) -> None:
        """Prepare a link; `open` connects it.

        Args:
            url: Where it leads, for messages.
            dial: Connects and is greeted by a deadline [s], in the link's thread or in `open`'s.
            config: How the connection is looked after.
            rng: Draws the delays.
            clock: Monotonic [s].
            keeps_late: Answers say what they answer, so that one that comes too late does no
                harm; otherwise a missed deadline ends the connection.
        """
        self.url = url
        self.problem = "not connected yet"
        self.reconnects = 0
        self._dial, self._config, self._clock = dial, config, clock
        self._keeps_late = keeps_late
        self._backoff = Backoff(config.first_delay, config.longest_delay, rng)
        self._lock = threading.Lock()
        self._socket: WebSocket | None = None
        self._pinged_s: float | None = None
        self._next_try_s = 0.0
        self._is_closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"link {url}", daemon=True)

    @property
    def is_connected(self) -> bool:
        """Whether a request may be sent; it may still turn out that nobody is there."""
        return self._socket is not None

    def open(self) -> None:
        """Connect for the first time, and keep the connection from now on.

        Raises:
            So101Error: What `dial` raises; nothing is left behind then.
        """
        self._install(self._dial(self._clock() + self._config.connect))
        self._thread.start()

    def exchange(
        self, messages: Sequence[bytes], take: Callable[[bytes | str], T | None], deadline_s: float
    ) -> T:
        """Send a request, which may be several messages, and wait for its answer.

        Args:
            messages: The request.
            take: Makes a message what it means; None for one that answers something else. May
                raise what an answer means; a `ProtocolError` ends the connection.
            deadline_s: By the clock [s].

        Raises:
            ServerLostError: There is no connection, or no answer in time.
            ServerRefusedError: The server ended the connection because of the request, or does
                not speak this protocol.
            So101Error: What ``take`` raises.
        """
        began_s = self._clock()
        if not self._lock.acquire(timeout=max(deadline_s - began_s, 0.0)):
            raise ServerLostError(f"{self.url}: another request has not been answered yet")
        try:
            return self._ask(messages, take, deadline_s)
        except TimeoutError:
            within_s = deadline_s - began_s
            late = ServerLostError(f"{self.url}: no answer within {within_s:.2g} s")
            self._doubt(late)
            raise late from None
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the connection and the thread. Whoever waits for an answer gets an error."""
        self._is_closed = True
        self._wake.set()
        if not self._lock.acquire(blocking=False):
            waiting = self._socket
            if waiting is not None:
                waiting.abort()
            self._lock.acquire()
        try:
            self._drop("the client was closed")
        finally:
            self._lock.release()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_GOODBYE_S)

    def tend(self) -> float:
        """Do what is due: connect, listen, ask for a sign of life.

        Returns:
            How long to wait until the next time, at most [s].
        """
        if self._socket is None:
            return self._connect_again()
        if not self._lock.acquire(blocking=False):
            return _LOOK_S  # somebody asks, and thereby listens
        try:
            if self._socket is not None:
                self._listen(self._socket, self._config.ping_interval)
        except So101Error as error:
            self._drop(str(error))
        finally:
            self._lock.release()
        return _LOOK_S if self._socket is not None else 0.0

    def _ask(
        self,
        messages: Sequence[bytes],
        take: Callable[[bytes | str], T | None],
        deadline_s: float,
    ) -> T:
        if self._socket is None:
            raise ServerLostError(f"{self.url}: not connected: {self.problem}")
        self._tell(self._socket, messages, deadline_s)
        try:
            while (answer := take(self._hear(self._socket, deadline_s))) is None:
                pass
        except ProtocolError as error:
            refused = ServerRefusedError(f"{self.url}: does not speak this protocol: {error}")
            self._drop(str(refused))
            raise refused from error
        self._backoff.reset()
        return answer

    def _tell(self, sock: WebSocket, messages: Sequence[bytes], deadline_s: float) -> None:
        try:
            for message in messages:
                sock.send(message, deadline_s)
        except So101Error as error:
            self._drop(str(error))
            raise

    def _hear(self, sock: WebSocket, deadline_s: float) -> bytes | str:
        try:
            return sock.receive(deadline_s)
        except So101Error as error:
            self._drop(str(error))
            raise

    def _doubt(self, late: ServerLostError) -> None:
        """After a missed deadline: is the server slow, or gone? Who asks on and on finds out."""
        if self._socket is None or not self._keeps_late:
            self._drop(str(late))
            return
        try:
            self._listen(self._socket, patience_s=0.0)
        except So101Error as error:
            self._drop(str(error))

    def _listen(self, sock: WebSocket, patience_s: float) -> None:
        sock.poll()
        now_s = self._clock()
        if not sock.has_pinged:
            if self._pinged_s is not None:  # the ping was answered
                self._pinged_s = None
                self._backoff.reset()
            if now_s - sock.heard_s >= patience_s:
                sock.ping()
                self._pinged_s = now_s
        elif self._pinged_s is not None and now_s - self._pinged_s > self._config.ping_timeout:
            silent_s = now_s - sock.heard_s
            raise ServerLostError(f"{self.url}: no sign of life for {silent_s:.1f} s")

    def _connect_again(self) -> float:
        now_s = self._clock()
        if now_s < self._next_try_s:
            return self._next_try_s - now_s
        try:
            made = self._dial(now_s + self._config.connect)
        except So101Error as error:
            self.problem = str(error)
            delay_s = self._backoff.next_delay()
            self._next_try_s = self._clock() + delay_s
            return delay_s
        with self._lock:
            if self._is_closed:
                made.close()
                return 0.0
            self.reconnects += 1
            self._install(made)
        return _LOOK_S

    def _install(self, made: WebSocket) -> None:
        self._socket, self._pinged_s, self.problem = made, None, ""

    def _drop(self, problem: str) -> None:
        """End the connection; who calls holds the lock."""
        self.problem = problem
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._wake.set()
            self._next_try_s = self._clock() + self._backoff.next_delay()

    def _keep(self) -> None:
        while not self._is_closed:
            wait_s = self.tend()
            self._wake.wait(wait_s)
            self._wake.clear()
