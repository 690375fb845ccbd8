"""What the messages of a policy server mean to its client. Pure but for `greeting`."""

from so101.errors import (
    ObservationError,
    ProtocolError,
    ServerLostError,
    ServerRefusedError,
    So101Error,
)
from so101.policies.remote.client.websocket import WebSocket
from so101.policies.remote.wire.messages import SUBPROTOCOL, Answer, Code, Failure, Hello
from so101.policies.remote.wire.protocol import unpack_answer


def greeting(made: WebSocket, deadline_s: float) -> Hello:
    """Return what a server says first.

    Args:
        made: A connection that was just made.
        deadline_s: By its clock [s].

    Raises:
        ServerLostError: It says nothing in time.
        ServerRefusedError: It says something else.
    """
    try:
        data = made.receive(deadline_s)
        hello = None if isinstance(data, str) else unpack_answer(data)
    except TimeoutError as error:
        raise ServerLostError(f"{made.url}: connects, but says nothing") from error
    except ProtocolError as error:
        raise ServerRefusedError(f"{made.url}: does not speak {SUBPROTOCOL}: {error}") from error
    if not isinstance(hello, Hello):
        raise ServerRefusedError(f"{made.url}: does not speak {SUBPROTOCOL}: no hello")
    return hello


def take_answer(data: bytes | str, request_id: int, url: str) -> Answer | None:
    """Return what answers a request; None for what answers an earlier one.

    Args:
        data: A message of the server.
        request_id: Of the request that waits.
        url: The server's, for errors.

    Raises:
        ProtocolError: It is no answer.
        ObservationError: The policy cannot use the observation.
        ServerLostError: The server did not get to it, but might next time.
        ServerRefusedError: The server says no.
    """
    if isinstance(data, str):
        raise ProtocolError("a text")
    message = unpack_answer(data)
    if isinstance(message, Failure) and message.id in (-1, request_id):
        raise _error(url, message)
    if isinstance(message, Hello):
        raise ProtocolError("a second hello")
    if message.id != request_id:
        return None
    if not isinstance(message, Answer):
        raise ProtocolError(f"{type(message).__name__} where a chunk was asked for")
    return message


def _error(url: str, failure: Failure) -> So101Error:
    """Return what a failure means to the caller."""
    said = f"{url}: {failure.code.value}: {failure.message}"
    if failure.code is Code.OBSERVATION:
        return ObservationError(said)
    if failure.code in (Code.EXPIRED, Code.SUPERSEDED, Code.STOPPING):
        return ServerLostError(said)
    return ServerRefusedError(said)


def is_alike(one: Hello, other: Hello) -> bool:
    """Tell whether two policies have the same inputs and outputs."""
    return one.spec == other.spec and one.noise_shape == other.noise_shape
