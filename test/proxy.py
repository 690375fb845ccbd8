"""A TCP proxy that delays, stalls, cuts and falls silent, as networks do. Needs no rights.

In a process of its own for benchmarks:

    python test/proxy.py DELAY_S PORT_OF_A_SERVER...

It prints the ports it listens on, one for each, and runs until its standard input ends.
"""

import asyncio
import contextlib
import sys
import threading

CHUNK = 1 << 18


class Proxy:
    """Passes one port's connections on to another; a context manager.

    Attributes:
        port: Where it listens.
        target: Port of the server, on loopback; may be changed for connections to come.
        delay_s: Time that every byte takes in each direction [s].
        answer_limit: Bytes of answers after which a connection is cut off; None for no limit.
        connections: How many were accepted so far.
    """

    def __init__(self, target, delay_s=0.0):
        self.target, self.delay_s = target, delay_s
        self.port = 0
        self.answer_limit = None
        self.connections = 0
        self._is_silent = False
        self._flows = asyncio.Event()
        self._pairs = set()
        self._loop = asyncio.new_event_loop()
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy")

    def __enter__(self):
        self._thread.start()
        self._is_ready.wait()
        return self

    def __exit__(self, *error):
        self._call(self._end)
        self._thread.join()
        self._loop.close()

    def stall(self):
        """Hold everything back: packets are lost, and nobody is told."""
        self._call(self._flows.clear)

    def resume(self):
        """Pass on what was held back, and everything from now on."""
        self._call(self._flows.set)

    def cut(self):
        """Reset every connection."""
        self._call(self._cut)

    def fall_silent(self):
        """Leave every connection half open: take all bytes, deliver none, say nothing."""
        self._is_silent = True

    def speak(self):
        """Serve connections to come as usual; those that fell silent remain so."""
        self._is_silent = False

    def _call(self, what):
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (what(), done.set()))
        done.wait()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self):
        self._flows.set()
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK)
        self.port = server.sockets[0].getsockname()[1]
        self._is_ready.set()
        await self._over.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self):
        self._cut()
        self._over.set()

    def _cut(self):
        for writers in self._pairs:
            for writer in writers:
                writer.transport.abort()

    async def _accept(self, reader, writer):
        self.connections += 1
        try:
            up_reader, up_writer = await asyncio.open_connection(
                "127.0.0.1", self.target, limit=CHUNK
            )
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, up_writer)
        state = {"is_silent": False, "answered": 0}
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, state, is_answer=False),
                self._pump(up_reader, writer, state, is_answer=True),
            )
        except (OSError, asyncio.CancelledError):
            pass  # cut off, or the proxy ends
        finally:
            self._pairs.discard(pair)
            for one in pair:
                one.transport.abort()

    async def _pump(self, reader, writer, state, is_answer):
        pending = asyncio.Queue()
        sender = asyncio.create_task(self._deliver(pending, writer, state, is_answer))
        try:
            while data := await reader.read(CHUNK):
                pending.put_nowait((self._loop.time() + self.delay_s, data))
            pending.put_nowait((self._loop.time() + self.delay_s, b""))
            await sender
        finally:
            sender.cancel()

    async def _deliver(self, pending, writer, state, is_answer):
        while True:
            due, data = await pending.get()
            if (wait := due - self._loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._flows.wait()
            state["is_silent"] |= self._is_silent
            if state["is_silent"]:
                continue  # neither bytes nor the end arrive
            if not data:
                writer.write_eof()
                return
            if is_answer and self.answer_limit is not None:
                data = data[: self.answer_limit - state["answered"]]
                state["answered"] += len(data)
            writer.write(data)
            await writer.drain()
            if is_answer and state["answered"] == self.answer_limit:
                writer.transport.close()  # what was written still goes out
                raise ConnectionResetError


def main():
    delay_s, targets = float(sys.argv[1]), map(int, sys.argv[2:])
    with contextlib.ExitStack() as stack:
        proxies = [stack.enter_context(Proxy(target, delay_s)) for target in targets]
        print(*(proxy.port for proxy in proxies), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
