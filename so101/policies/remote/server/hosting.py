"""A policy server beside other work: in a thread with an event loop of its own."""

import asyncio
import threading
from types import TracebackType
from typing import Self

from so101.policies.remote.server.server import PolicyServer


class HostedServer:
    """Serves while its ``with`` block runs; what fails at the start is raised there.

    Attributes:
        server: The server; `PolicyServer.swap` and its metrics may be used from any thread.
    """

    def __init__(self, server: PolicyServer) -> None:
        """Host a server that has not been started."""
        self.server = server
        self._thread = threading.Thread(target=self._run, name="policy-server", daemon=True)
        self._is_ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        self._is_ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the pass that runs and close every connection."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._is_ready.set()

    async def _serve(self) -> None:
        await self.server.start()
        self._is_ready.set()
        await self._end.wait()
        await self.server.stop()
