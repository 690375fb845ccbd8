"""A policy server as a process: it runs until a signal, with what else runs beside it."""

import asyncio
import ctypes
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from so101.policies.remote.server.server import PolicyServer

if TYPE_CHECKING:
    from so101.policies.remote.server.following import Follower

FOLLOW_S = 1.0
Companion = Callable[[PolicyServer], Coroutine[Any, Any, None]]
"""Work beside the server; it is cancelled when the server ends, and ends the server by failing."""


def return_large_blocks() -> None:
    """Let every freed megabyte go back to the system at once, where the C library can.

    Left to itself, glibc keeps what a few messages of 8 MB took, in case more of them come.
    """
    mmap_threshold, one_megabyte = -3, 1 << 20
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(mmap_threshold, one_megabyte)


async def serve_until_signal(
    server: PolicyServer, on_ready: Callable[[int], None], beside: Sequence[Companion] = ()
) -> None:
    """Serve until SIGINT or SIGTERM, then finish the pass that runs.

    Args:
        server: Not started yet.
        on_ready: Told the port.
        beside: What runs beside it.

    Raises:
        ConfigError: The address is unknown or taken.
    """
    return_large_blocks()
    ending, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ending.set)
    await server.start()
    on_ready(server.port)
    ends = asyncio.create_task(ending.wait())
    companions = [asyncio.create_task(one(server)) for one in beside]
    try:
        waiting: set[asyncio.Future[Any]] = {ends, *companions}
        while not ends.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for finished in done:
                finished.result()
    finally:
        for one in (ends, *companions):
            one.cancel()
        await asyncio.gather(ends, *companions, return_exceptions=True)
        await server.stop()


def following(follower: "Follower", say: Callable[[str], None]) -> Companion:
    """Return the work of following a directory of checkpoints.

    Args:
        follower: What follows.
        say: Told what changed.
    """

    async def follow(server: PolicyServer) -> None:
        while True:
            sha256 = server.served.sha256
            if line := await asyncio.to_thread(follower.poll, sha256, server.swap):
                say(line)
            await asyncio.sleep(FOLLOW_S)

    return follow
