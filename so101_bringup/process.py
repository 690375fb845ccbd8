"""One process of the graph and its output: prefixed lines on the screen, a log file each."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from so101.errors import StoreError

CHUNK = 65536
"""Bytes read at once; a longer line is written in parts."""

LINGER_S = 0.5
"""Time for the last output of a dead process, whose pipe a child of it may still hold [s]."""


class Output:
    """Where the lines of all programs go."""

    def __init__(
        self, directory: Path | None, write: Callable[[str], None] | None, width: int
    ) -> None:
        """Create the log directory.

        Raises:
            StoreError: It cannot be created.
        """
        self._directory = directory
        self._write = write
        self._width = width
        self._files: dict[str, TextIO] = {}
        self._newest: dict[str, str] = {}
        if directory is not None:
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{directory}: cannot hold logs: {error}") from error

    def line(self, name: str, text: str) -> None:
        """Write a line of a program. Where logs cannot be written, it says so once and goes on."""
        self._newest[name] = text
        if self._write is not None:
            self._write(f"[{name:<{self._width}}] {text}")
        if self._directory is not None:
            try:
                self._log(self._directory, name, text)
            except OSError as error:
                self._directory = None
                sys.stderr.write(f"so101: no more logs from here on: {error}\n")

    def _log(self, directory: Path, name: str, text: str) -> None:
        if name not in self._files:
            self._files[name] = (directory / f"{name}.log").open("w", encoding="utf-8")
        self._files[name].write(f"{text}\n")
        self._files[name].flush()

    def newest(self, name: str) -> str:
        """Return the newest line of a program, empty where it said nothing."""
        return self._newest.get(name, "")

    def close(self) -> None:
        """Close the log files."""
        for file in self._files.values():
            with suppress(OSError):  # a full disk, which was said when the line was written
                file.close()
        self._files.clear()


class Process:
    """A running program in a process group of its own."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, pipe: "_Pipe", output: Output
    ) -> None:
        """Take over a started process and the pipe it writes to; `start` makes both."""
        self.name = name
        self.group = process.pid
        self._process = process
        self._pipe = pipe
        self._is_buried = False
        self._reader = asyncio.create_task(self._read(output))

    @classmethod
    async def start(
        cls, name: str, argv: tuple[str, ...], environment: Mapping[str, str], output: Output
    ) -> "Process":
        """Start a program.

        Raises:
            OSError: The executable is missing or may not be run.
        """
        pipe, writing = await _Pipe.open()
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C reaches only the supervisor, which passes it on
            )
        except BaseException:
            pipe.close()
            raise
        finally:
            os.close(writing)
        return cls(name, process, pipe, output)

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Wait for its end and its last line; return the exit code, negative for a signal."""
        code = await self._process.wait()
        await asyncio.wait([self._reader], timeout=LINGER_S)
        self._reader.cancel()
        self._pipe.close()
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def bury(self) -> None:
        """After its end, kill what it started and left behind; once, as group ids are reused."""
        if not self._is_buried:
            self._is_buried = True
            self.send_group(signal.SIGKILL)

    def send_group(self, number: signal.Signals) -> None:
        """Send a signal to the program and everything it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, number)

    async def _read(self, output: Output) -> None:
        rest = b""
        while chunk := await self._pipe.read(CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > CHUNK:
                lines, rest = [*lines, rest], b""
            for line in lines:
                output.line(self.name, line.decode(errors="replace").rstrip("\r"))
        if rest:
            output.line(self.name, rest.decode(errors="replace"))


class _Pipe:
    """The reading end of a pipe. asyncio's own ones stay open as long as anybody writes."""

    def __init__(self, stream: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self.read = stream.read
        self.close = transport.close

    @classmethod
    async def open(cls) -> "tuple[_Pipe, int]":
        """Return it, and the descriptor of the end to write to, which the caller closes."""
        reading, writing = os.pipe()
        stream = asyncio.StreamReader()
        try:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb", buffering=0)
            )
        except BaseException:
            os.close(writing)
            raise
        return cls(stream, transport), writing
