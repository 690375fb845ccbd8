"""What is said on one connection: requests are read, queued and answered, and rules are kept."""

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Protocol

from websockets.asyncio.server import ServerConnection

from so101.errors import ObservationError, ProtocolError
from so101.policies.remote.server.batching import Job
from so101.policies.remote.server.dialects import Dialect
from so101.policies.remote.server.received_images import check_received
from so101.policies.remote.wire.messages import (
    Answer,
    ClientMessage,
    Code,
    Done,
    Failure,
    Health,
    HealthRequest,
    InferRequest,
    Reset,
    ServerMessage,
)

_log = logging.getLogger(__name__)
BROKEN, BROKE_RULE = 1007, 1008
"""Close codes (RFC 6455, 7.4.1): data that make no sense; a rule that was broken."""


class Desk(Protocol):
    """What a conversation needs of its server."""

    def submit(self, job: Job) -> Job | None:
        """Queue a request; return the one whose place it takes."""
        ...

    def count(self, outcome: Answer | Failure) -> None:
        """Count what became of a request."""
        ...

    def health(self, number: int) -> Health:
        """Return how the server is."""
        ...

    def reset(self, peer: ServerConnection) -> Awaitable[None]:
        """Begin a peer's next episode, after what the policy does now."""
        ...

    def send(self, peer: ServerConnection, data: bytes | str) -> Awaitable[None]:
        """Send to a peer, or cut it where it does not read; may be awaited or left alone."""
        ...


class Conversation:
    """With one peer."""

    def __init__(self, desk: Desk, peer: ServerConnection, dialect: Dialect) -> None:
        """Begin to talk.

        Args:
            desk: The server.
            peer: Who is on the other side.
            dialect: How it writes.
        """
        self._desk, self._peer, self._dialect = desk, peer, dialect
        self._last = -1

    async def run(self) -> None:
        """Answer until the peer leaves or breaks a rule."""
        async for data in self._peer:
            message = self._read(data)
            del data  # up to 8 MB, while the peer is told what was wrong with it
            if isinstance(message, Failure):
                await self._fail(message)
                if message.code is Code.MALFORMED:
                    await self._peer.close(BROKEN, message.code.value)
                    return
            elif message.id <= self._last:
                text = f"request {message.id} after {self._last}"
                await self._fail(Failure(id=message.id, code=Code.REPLAYED, message=text))
                await self._peer.close(BROKE_RULE, Code.REPLAYED.value)
                return
            else:
                await self._carry_out(message)
            self._last = max(self._last, message.id)

    def _read(self, data: bytes | str) -> ClientMessage | Failure:
        try:
            if isinstance(data, str):
                raise ProtocolError("message: a text, where bytes are spoken")
            try:
                message = self._dialect.read(data)
            except ObservationError as error:
                number = self._dialect.number(data)
                return Failure(id=number, code=Code.OBSERVATION, message=_line(error))
            if isinstance(message, InferRequest):
                for camera, image in message.compressed.items():
                    check_received(camera, image)
        except ProtocolError as error:
            return Failure(id=-1, code=Code.MALFORMED, message=_line(error))
        return message

    async def _carry_out(self, message: ClientMessage) -> None:
        if isinstance(message, InferRequest):
            await self._infer(message)
        elif isinstance(message, Reset):
            await self._desk.reset(self._peer)
            await self._say(Done(id=message.id))
        elif isinstance(message, HealthRequest):
            await self._say(self._desk.health(message.id))

    async def _infer(self, request: InferRequest) -> None:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()

        def deliver(outcome: Answer | Failure, data: bytes | str) -> None:
            self._desk.count(outcome)
            self._desk.send(self._peer, data)
            if not answered.done():
                answered.set_result(None)

        def answer(outcome: Answer | Failure) -> None:
            loop.call_soon_threadsafe(deliver, *self._written(outcome))

        job = Job(owner=self._peer, request=request, arrived_s=time.monotonic(), answer=answer)
        older = self._desk.submit(job)
        if older is not None:
            await self._fail(Failure(id=older.request.id, code=Code.SUPERSEDED))
        if self._dialect.is_sequential:
            await answered

    def _written(self, outcome: Answer | Failure) -> tuple[Answer | Failure, bytes | str]:
        """Return an answer and its bytes; what cannot be written is the policy's failure."""
        try:
            return outcome, self._dialect.write(outcome)
        except Exception:
            _log.exception("an answer cannot be written")
            failure = Failure(id=outcome.id, code=Code.POLICY, message="its answer cannot travel")
            return failure, self._dialect.write(failure)

    async def _fail(self, failure: Failure) -> None:
        self._desk.count(failure)
        await self._say(failure)

    def _say(self, message: ServerMessage) -> Awaitable[None]:
        """Send; whoever awaits it reads no further from a peer that does not read itself."""
        return self._desk.send(self._peer, self._dialect.write(message))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
