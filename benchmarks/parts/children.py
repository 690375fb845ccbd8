"""Processes that end with the benchmark that started them, also when that is broken off or killed.

The guardian of `so101_bringup` ends what is left over: it is started first and hears of each
process group, and the end of its pipe is the end of the benchmark.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from so101_bringup import guardian

PATIENCE_S = 30.0
"""For a process to end when it is asked to [s]; then it is killed."""


class Children:
    """Starts processes; all of them are over when the block is left."""

    def __init__(self) -> None:
        """Start the guardian."""
        self._guardian = subprocess.Popen(
            [sys.executable, guardian.__file__],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._running: list[subprocess.Popen[str]] = []

    def start(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        **pipes: Any,
    ) -> "subprocess.Popen[str]":
        """Start a process in a group of its own.

        Args:
            argv: Its command line.
            environment: Its variables; None for this process's own.
            folder: Where it runs; None for here.
            pipes: Its standard streams, as `subprocess.Popen` takes them.
        """
        process = subprocess.Popen(
            list(argv), env=environment, cwd=folder, text=True, start_new_session=True, **pipes
        )
        self._tell(f"+{process.pid}")
        self._running.append(process)
        return process

    def end(self) -> None:
        """Ask each of them to end and wait for it, the newest first."""
        while self._running:
            process = self._running.pop()
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._tell(f"-{process.pid}")
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def __enter__(self) -> "Children":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all of them, and the guardian."""
        try:
            self.end()
        finally:
            self._ear.close()
            self._guardian.wait()

    @property
    def _ear(self) -> IO[str]:
        assert self._guardian.stdin is not None
        return self._guardian.stdin

    def _tell(self, line: str) -> None:
        self._ear.write(f"{line}\n")
        self._ear.flush()
