"""The two languages of the server: so101.v1, and openpi's for peers that name no subprotocol."""

from typing import Protocol

from so101.policies.remote.server.openpi_dialect import (
    OpenpiKeys,
    describe,
    read_observation,
    write_answer,
)
from so101.policies.remote.wire.messages import (
    Answer,
    ClientMessage,
    Failure,
    Hello,
    ServerMessage,
)
from so101.policies.remote.wire.protocol import pack_message, request_id, unpack_request


class Dialect(Protocol):
    """How one connection writes and reads."""

    @property
    def is_sequential(self) -> bool:
        """Each request waits for the answer to the one before; none is superseded."""
        ...

    def greet(self, hello: Hello) -> bytes:
        """Return the server's first message."""
        ...

    def read(self, data: bytes) -> ClientMessage:
        """Read a request.

        Raises:
            ProtocolError: It breaks the protocol.
            ObservationError: A value in it cannot be used.
        """
        ...

    def number(self, data: bytes) -> int:
        """Return the id of a request that could not be read; -1 when it has none."""
        ...

    def write(self, message: ServerMessage) -> bytes | str:
        """Return an answer."""
        ...


class NativeDialect:
    """``so101.v1``."""

    is_sequential = False

    def greet(self, hello: Hello) -> bytes:
        """Return `Hello`."""
        return pack_message(hello)

    def read(self, data: bytes) -> ClientMessage:
        """Read one of `ClientMessage`."""
        return unpack_request(data)

    def number(self, data: bytes) -> int:
        """Return the id, where it can be read."""
        return request_id(data)

    def write(self, message: ServerMessage) -> bytes | str:
        """Return any `ServerMessage`."""
        return pack_message(message)


class OpenpiDialect:
    """openpi's, which numbers nothing; requests are numbered here."""

    is_sequential = True

    def __init__(self, keys: OpenpiKeys) -> None:
        """Speak with one peer about these keys."""
        self._keys, self._last = keys, 0

    def greet(self, hello: Hello) -> bytes:
        """Return what openpi calls metadata."""
        return describe(hello, self._keys)

    def read(self, data: bytes) -> ClientMessage:
        """Read a dictionary of observations."""
        self._last += 1
        return read_observation(data, self._last, self._keys)

    def number(self, data: bytes) -> int:
        """Return the number it was given."""
        return self._last

    def write(self, message: ServerMessage) -> bytes | str:
        """Return ``actions``, or what is wrong as a text."""
        if not isinstance(message, Answer | Failure):
            raise TypeError(f"openpi has no {type(message).__name__}")
        return write_answer(message, self._keys)
