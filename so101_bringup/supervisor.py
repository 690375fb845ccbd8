"""Runs the graph as processes: what ``ros2 launch`` does, where there is no launch.

Each node has its own process group, a prefix before every line it prints, and a log file. A node
that may respawn is started again after growing pauses; when an essential one dies, the graph ends
with an error. Shutting down is orderly and bounded: SIGINT, SIGTERM, SIGKILL. A guardian process
ends the nodes when the supervisor itself is killed.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from so101.errors import ConfigError
from so101_bringup.deaths import USER_ERROR, Deaths, Patience
from so101_bringup.node_spec import NodeSpec, ParameterValue, launchable
from so101_bringup.paths import config_path
from so101_bringup.process import Output, Process

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process to run.

    Attributes:
        name: Prefix of its lines and name of its log file.
        argv: Command line.
        is_essential: Its death ends everything.
        respawn: Started again when it dies.
        ending_s: Time it has after SIGINT [s]; 0 for as long as everybody.
    """

    name: str
    argv: tuple[str, ...]
    is_essential: bool = True
    respawn: bool = False
    ending_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Bounds of the supervisor, all in seconds.

    Attributes:
        interrupt_s: Time a program has after SIGINT.
        terminate_s: Time it then has after SIGTERM, before SIGKILL.
        first_pause_s: Pause before the first respawn; doubled each time.
        longest_pause_s: Bound of the pause.
        patience: When a program is given up, and the graph ends.
    """

    interrupt_s: float = 2.0
    terminate_s: float = 1.0
    first_pause_s: float = 0.5
    longest_pause_s: float = 8.0
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a graph ended.

    Attributes:
        exit_code: 0 when it was asked to.
        reason: One sentence.
    """

    exit_code: int
    reason: str


def program_of(node: NodeSpec, python: str = sys.executable) -> Program:
    """Return the process that runs a node.

    Args:
        node: What is run.
        python: Interpreter of a node that names none.

    Raises:
        ConfigError: The node is of a package that only a ROS installation has.
    """
    if not node.is_ours:
        raise ConfigError(f"{node.name}: {node.package} needs a ROS installation and ros2 launch")
    argv = [node.python or python, "-m", f"{node.executable}.node", *node.arguments]
    argv += ["--ros-args", "-r", f"__node:={node.name}"]
    if node.namespace:
        argv += ["-r", f"__ns:=/{node.namespace.strip('/')}"]
    for old, new in node.remappings:
        argv += ["-r", f"{old}:={new}"]
    argv += parameter_arguments(node)
    return Program(
        name=node.name,
        argv=tuple(argv),
        is_essential=node.is_essential,
        respawn=node.respawn,
        ending_s=node.ending_s,
    )


def parameter_arguments(node: NodeSpec) -> list[str]:
    """Return what gives a node its parameters, on the command line after ``--ros-args``."""
    argv = []
    for name in node.config_files:
        argv += ["--params-file", str(config_path(name))]
    for key, value in node.parameters.items():
        argv += ["-p", f"{key}:={parameter_text(value)}"]
    for path in node.own_files:
        argv += ["--params-file", path]
    return argv


def parameter_text(value: ParameterValue) -> str:
    """Return a value as the YAML that ROS reads after ``-p name:=``."""
    return json.dumps(launchable(value), allow_nan=False)  # JSON is YAML, with quoted texts


class Supervisor:
    """Runs programs until one that is essential dies, or it is stopped."""

    def __init__(
        self,
        programs: Sequence[Program],
        environment: Mapping[str, str],
        log_directory: Path | None = None,
        write: Callable[[str], None] | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            programs: What to run, started in this order.
            environment: Environment variables of every program, all of them.
            log_directory: Where each program's output is also written, one file each.
            write: Takes each line with its prefix, such as ``print``; None keeps them silent.
            timing: Bounds.
        """
        self._programs = programs
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        width = max((len(program.name) for program in programs), default=0)
        self._output = Output(log_directory, write, width)
        self._timing = timing or Timing()
        self._processes: dict[str, Process] = {}
        self._ending: asyncio.Future[Ending] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._guardian: asyncio.subprocess.Process | None = None
        self._is_hurried = False

    def newest(self, name: str) -> str:
        """Return the newest line of a program, empty where it said nothing."""
        return self._output.newest(name)

    def stop(self, exit_code: int = 0, reason: str = "stopped") -> None:
        """Ask for an orderly end; from any thread, once `run` runs."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end, Ending(exit_code=exit_code, reason=reason))

    async def run(self) -> Ending:
        """Run everything and return how it ended. No process is left when this returns."""
        self._loop = asyncio.get_running_loop()
        self._ending = self._loop.create_future()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._loop.add_signal_handler(number, self._on_signal, number)
        tasks: list[asyncio.Task[None]] = []
        try:
            self._guardian = await self._start_guardian()
            tasks = [asyncio.create_task(self._keep(program)) for program in self._programs]
            ending = await self._ending
            self._say(f"ending: {ending.reason}")
            return ending
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(self._shut_down(p) for p in self._processes.values()))
            await self._dismiss_guardian()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._loop.remove_signal_handler(number)
            self._output.close()

    def _on_signal(self, number: signal.Signals) -> None:
        assert self._ending is not None
        if self._ending.done():  # asked twice: no more patience
            self._is_hurried = True
            for process in self._processes.values():
                if not process.is_over:
                    process.send_group(signal.SIGKILL)
            return
        exit_code = INTERRUPTED if number == signal.SIGINT else 128 + number
        self._end(Ending(exit_code=exit_code, reason=number.name))

    def _end(self, ending: Ending) -> None:
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(ending)

    async def _keep(self, program: Program) -> None:
        """Run a program, again where it may respawn, until it matters that it died."""
        deaths = Deaths(self._timing.patience)
        try:
            while True:
                code, lived_s = await self._run_once(program)
                if deaths.are_too_many(code, lived_s) or not program.respawn:
                    break
                pause_s = self._timing.first_pause_s * 2 ** (deaths.in_a_row - 1)
                pause_s = min(pause_s, self._timing.longest_pause_s)
                self._say(f"{program.name} {_died(code)}; starting it again in {pause_s:g} s")
                await asyncio.sleep(pause_s)
        except OSError as error:
            code = USER_ERROR
            self._say(f"{program.name} cannot be started: {error}")
        if program.is_essential or program.respawn:
            exit_code = code if code > 0 else 1
            why = self._output.newest(program.name) if code == USER_ERROR else ""
            words = f"{program.name} {_died(code)}" + (f": {_without_name(why)}" if why else "")
            self._end(Ending(exit_code=exit_code, reason=words))
        else:
            self._say(f"{program.name} {_died(code)}; going on without it")

    async def _run_once(self, program: Program) -> tuple[int, float]:
        assert self._loop is not None
        started_s = self._loop.time()
        process = await Process.start(program.name, program.argv, self._environment, self._output)
        self._processes[program.name] = process
        self._tell_guardian(f"+{process.group}")
        code = await process.wait()
        self._forget(process)
        return code, self._loop.time() - started_s

    async def _shut_down(self, process: Process) -> None:
        """End one process: politely, firmly, at once."""
        own_s = {program.name: program.ending_s for program in self._programs}
        steps = (
            (signal.SIGINT, own_s.get(process.name) or self._timing.interrupt_s),
            (signal.SIGTERM, self._timing.terminate_s),
        )
        for number, patience_s in steps:
            if process.is_over or self._is_hurried:
                break
            process.send(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), patience_s)
        if not process.is_over:
            self._say(f"{process.name} does not end: killed")
            process.send_group(signal.SIGKILL)
        await process.wait()
        self._forget(process)

    def _forget(self, process: Process) -> None:
        process.bury()
        self._tell_guardian(f"-{process.group}")

    async def _start_guardian(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("guardian.py")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            env=self._environment,
            start_new_session=True,
        )

    def _tell_guardian(self, line: str) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.write(f"{line}\n".encode())

    async def _dismiss_guardian(self) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.close()
            await self._guardian.wait()

    def _say(self, text: str) -> None:
        self._output.line("supervisor", text)


def _without_name(line: str) -> str:
    """Return what a node says last when a person has to put something right."""
    return line.rpartition(": error: ")[2]


def _died(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
