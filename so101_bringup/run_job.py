"""Runs a graph as processes with a progress display, from start to summary."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from reward_node.past import past_episodes
from so101.config import from_mapping
from so101.data.stores.remote_files import check_url
from so101.events import EpisodeEvent
from so101.ros.client import GraphClient
from so101.status_events import LearnerStatus, RecorderStatus, SessionStatus
from so101.topics import ARM_STATE, EPISODE, LEARNER_STATUS, RECORDER_STATUS, SESSION_STATUS
from so101_bringup.agreement import checked_graph
from so101_bringup.claims import claimed_run
from so101_bringup.display import ArmWord, Display
from so101_bringup.environment import begun_clock, clean_environment
from so101_bringup.graph import GRAPHS, GraphOptions, environment_of
from so101_bringup.node_spec import NodeSpec
from so101_bringup.paths import RunPaths
from so101_bringup.preparation import prepare
from so101_bringup.supervisor import Ending, Program, Supervisor, program_of
from so101_bringup.upload_job import send_rest, watcher_argv

SHORT_OF_TARGET = 3
"""Exit code of a session that ran to its end and missed its target."""

DISPLAY = "so101_display"
"""Name of the display's node; the session waits for it as for the nodes of the graph."""


def run_job(
    graph: str,
    options: GraphOptions,
    goals: Mapping[str, int],
    *,
    say: Callable[[str], None],
    is_verbose: bool = False,
    upload_to: str = "",
) -> int:
    """Run a graph until its session is done, something essential dies, or Ctrl-C.

    Args:
        graph: Name in `so101_bringup.graph.GRAPHS`.
        options: What a person chose.
        goals: Phase to the number aimed at, for the display.
        say: Takes each line for the person.
        is_verbose: Show every line that the nodes print.
        upload_to: URL of a remote store that gets every finished episode; empty for none.

    Returns:
        The exit code.

    Raises:
        ConfigError: The options make no graph, or the URL is not that of a store.
        StoreError: The store cannot be written, is full, or is in use.
        SessionError: Another graph runs in this ROS domain.
    """
    GRAPHS[graph](options)  # refuses options that make no graph before anything is touched
    uploader = [_uploader(options.paths, check_url(upload_to))] if upload_to else []
    with claimed_run(options.paths.root, options.namespace):
        options = prepare(options)
        if options.episodes:
            goals = {**goals, "demonstrations": options.demonstrations}
        display = Display(goals, past_episodes(options.paths.episodes))
        code = _run_graph(graph, options, display, say=say, is_verbose=is_verbose, others=uploader)
    if upload_to and code in (0, SHORT_OF_TARGET):  # not where somebody wants it to end at once
        send_rest(options.paths.episodes, upload_to, say)
    return code


def _uploader(paths: RunPaths, url: str) -> Program:
    """Return the process that sends episodes; nothing depends on it."""
    argv = watcher_argv(paths.episodes, url)
    return Program(name="upload", argv=argv, is_essential=False)


def _run_graph(
    graph: str,
    options: GraphOptions,
    display: Display,
    *,
    say: Callable[[str], None],
    is_verbose: bool,
    others: Sequence[Program] = (),
) -> int:
    paths = options.paths
    nodes = map(awaiting_display, checked_graph(graph, options))
    programs = [*map(program_of, nodes), *others]
    os.environ.update(environment_of(options))
    environment = {
        **clean_environment(os.environ),
        **environment_of(options),
        **begun_clock(),
    }
    environment.setdefault("ROS_LOG_DIR", str(paths.logs / "ros"))
    supervisor = Supervisor(programs, environment, paths.logs, write=say if is_verbose else None)
    watcher = _Watcher(display, supervisor, say, options)
    ending = asyncio.run(_run(supervisor, watcher))
    code = _conclude(ending, display, paths, say)
    for program in others:
        say(f"{program.name:<15} {supervisor.newest(program.name)}")
    return code


def awaiting_display(node: NodeSpec) -> NodeSpec:
    """Let who calls the roll call the display too: it would miss the first episodes' lines.

    Args:
        node: Any of the graph. One whose peers a person's file names is left as it is.
    """
    peers = node.parameters.get("peers")
    if not isinstance(peers, tuple) or not peers:
        return node
    return replace(node, parameters={**node.parameters, "peers": (*map(str, peers), DISPLAY)})


def options_of(values: Mapping[str, object]) -> GraphOptions:
    """Check what was typed like every other configuration."""
    return from_mapping(GraphOptions, dict(values), "options")


async def _run(supervisor: Supervisor, watcher: "_Watcher") -> Ending:
    watcher.start()
    try:
        return await supervisor.run()
    finally:
        await asyncio.to_thread(watcher.close)


class _Watcher:
    """Follows the session's topics in a thread and ends the graph when the session is done."""

    def __init__(
        self,
        display: Display,
        supervisor: Supervisor,
        say: Callable[[str], None],
        options: GraphOptions,
    ) -> None:
        self._display = display
        self._supervisor = supervisor
        self._say = say
        self._is_real = options.robot == "real"
        self._client = GraphClient(DISPLAY, options.namespace)
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._client.spinner.stop()
        self._thread.join(timeout=2.0)
        self._client.close()

    def _watch(self) -> None:
        display = self._display
        self._client.follow(EPISODE, EpisodeEvent, lambda e: self._show(display.on_episode(e)))
        self._client.follow(
            RECORDER_STATUS, RecorderStatus, lambda e: self._show(display.on_recorder(e))
        )
        self._client.follow(
            LEARNER_STATUS, LearnerStatus, lambda e: self._show(display.on_learner(e))
        )
        self._client.follow(
            SESSION_STATUS, SessionStatus, lambda e: self._show(display.on_session(e))
        )
        if self._is_real:  # a simulated one is armed by the session
            self._client.follow(ARM_STATE, ArmWord, lambda e: self._show(display.on_arm(e)))
        self._client.answer_roll()
        self._client.spinner.spin()

    def _show(self, lines: list[str]) -> None:
        for line in lines:
            minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
            self._say(f"{minutes:3d}:{seconds:02d}  {line}")
        if self._display.summary is not None:
            exit_code = 0 if self._display.is_complete else SHORT_OF_TARGET
            self._supervisor.stop(exit_code, "the session is done")


def _conclude(
    ending: Ending, display: Display, paths: RunPaths, say: Callable[[str], None]
) -> int:
    say("")
    for line in display.closing_lines():
        say(line)
    if display.summary is not None:
        say(f"summary         {display.summary}")
    else:
        say(f"ended           {ending.reason}; the same command goes on where it was")
    for title, path in (
        ("episodes", paths.episodes),
        ("checkpoints", paths.checkpoints),
        ("logs", paths.logs),
    ):
        say(f"{title:<15} {path}")
    sys.stdout.flush()
    return ending.exit_code
