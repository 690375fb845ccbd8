"""How many peers may be connected, and how much of their unfinished messages is kept.

Both bounds hold before anything is known of a peer: a socket that is one too many is closed as it
is accepted, ahead of TLS and HTTP, whose state is what makes a thousand idle connections dear.
"""

import socket
import time
from typing import Any

MAX_PENDING_BYTES = 24 * 1024 * 1024
"""Of all messages under way together: room for three of the largest."""

NEW_PER_S, BURST = 10.0, 64
"""New connections of one address: per second, and at once after a quiet time."""

MAX_ADDRESSES = 1024
"""How many addresses are remembered."""

BACKLOG = 1024
"""Connections that may wait to be accepted. One more is tried again by its system a second later,
and the second after that: it would be turned away seconds late."""


class Door:
    """Lets sockets in: so many at once, and from each address so many anew per second.

    Attributes:
        most: How many may be open.
        inside: How many are.
        turned_away: How many were closed at once.
    """

    def __init__(self, most: int) -> None:
        """Begin with none."""
        self.most, self.inside, self.turned_away = most, 0, 0
        self._allowance: dict[str, tuple[float, float]] = {}

    def admits(self, address: str, now_s: float) -> bool:
        """Tell whether a new socket may come in; when not, count it.

        Args:
            address: Where it comes from. Whoever knocks all the time wears out its own welcome,
                not that of others.
            now_s: The time [s].
        """
        left, since_s = self._allowance.pop(address, (float(BURST), now_s))
        left = min(float(BURST), left + (now_s - since_s) * NEW_PER_S)
        is_welcome = left >= 1.0 and self.inside < self.most
        self._allowance[address] = (left - 1.0 if is_welcome else left, now_s)
        if len(self._allowance) > MAX_ADDRESSES:  # the one that has been quiet longest
            del self._allowance[next(iter(self._allowance))]
        self.turned_away += not is_welcome
        return is_welcome


class _Counted(socket.socket):
    """A socket that says when it is closed."""

    door: Door | None = None

    def close(self) -> None:
        """Close it, and let another one in."""
        if self.door is not None:
            self.door.inside -= 1
            self.door = None
        super().close()


class Listener(socket.socket):
    """A listening socket that closes at once whom the door has no room for."""

    door: Door

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            ConnectionAbortedError: It was turned away; asyncio goes on with the next.
        """
        taken, address = super().accept()
        if not self.door.admits(address[0], time.monotonic()):
            taken.close()
            raise ConnectionAbortedError("too many connections")
        counted = _Counted(taken.family, taken.type, taken.proto, fileno=taken.detach())
        counted.door = self.door
        self.door.inside += 1
        return counted, address


def listen(host: str, port: int, door: Door) -> Listener:
    """Bind to an address and listen.

    Args:
        host: Address or name.
        port: TCP port; 0 for a free one.
        door: Counts the connections.

    Raises:
        OSError: The address is unknown or taken.
    """
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = Listener(family, kind, proto)
    listener.door = door
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


class Intake:
    """Bytes of unfinished messages, by connection."""

    def __init__(self, most: int = MAX_PENDING_BYTES) -> None:
        """Begin with none."""
        self._most, self._total = most, 0
        self._pending: dict[Any, int] = {}

    def set(self, owner: Any, pending: int) -> Any:
        """Note how much of an unfinished message a connection has sent.

        Args:
            owner: The connection.
            pending: Bytes; 0 between messages.

        Returns:
            The connection to cut, the one with the longest unfinished message; or None.
        """
        self._total += pending - self._pending.pop(owner, 0)
        if pending:
            self._pending[owner] = pending
        if self._total <= self._most:
            return None
        return max(self._pending, key=lambda one: self._pending[one])
