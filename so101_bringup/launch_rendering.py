"""Turns the graph into launch_ros actions.

``launch`` exists on ROS installations only, so it is imported when it is used, and by name: the
checkout's own ``launch`` folder looks like a package of that name to type checkers.
"""

import atexit
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import fields
from difflib import get_close_matches
from importlib import import_module
from itertools import chain
from typing import Any, get_type_hints

from so101.config import from_mapping, parse_yaml
from so101.errors import ConfigError, SessionError
from so101_bringup.agreement import checked_graph
from so101_bringup.claims import claimed_run
from so101_bringup.deaths import Deaths
from so101_bringup.environment import begun_clock
from so101_bringup.graph import GRAPHS, GraphOptions, environment_of
from so101_bringup.node_spec import NodeSpec
from so101_bringup.preparation import prepare
from so101_bringup.session_watch import session_end
from so101_bringup.supervisor import parameter_arguments

_RESPAWN_DELAY_S = 2.0


def describe(graph: str) -> Any:
    """Return the launch description of a graph: its arguments, then its nodes.

    Args:
        graph: Key in `so101_bringup.graph.GRAPHS`.
    """
    actions = import_module("launch.actions")
    arguments = [
        actions.DeclareLaunchArgument(name, default_value=text, description=doc)
        for name, text, doc in launch_arguments()
    ]
    nodes = actions.OpaqueFunction(function=_actions(graph))
    return import_module("launch").LaunchDescription([*arguments, nodes])


def launch_arguments() -> list[tuple[str, str, str]]:
    """Return name, default as text and documentation of every launch argument.

    An empty default that `GraphOptions` refuses, such as the robot's, makes the launch stop with
    the reason.
    """
    return [(f.name, _to_text(f.default), str(f.metadata["doc"])) for f in fields(GraphOptions)]


def read_options(texts: dict[str, str]) -> GraphOptions:
    """Read launch arguments, all given as text.

    Raises:
        ConfigError: An argument is unknown or its value is not allowed.
    """
    hints = get_type_hints(GraphOptions)
    values = {name: _from_text(hints.get(name, str), text, name) for name, text in texts.items()}
    return from_mapping(GraphOptions, values, "launch arguments")


def check_typed(argv: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a misspelled argument, which launch itself ignores in silence.

    Others that no option is called may be meant for a launch file that includes this one.

    Args:
        argv: What was typed after the launch file, such as ``seed:=1``.
        names: Names of the launch arguments.

    Raises:
        ConfigError: One is nearly called like an option.
    """
    for name in (text.partition(":=")[0] for text in argv):
        nearest = get_close_matches(name, names, n=1, cutoff=0.8)
        if nearest and name not in names:
            raise ConfigError(
                f"launch arguments: unknown key {name!r}, did you mean {nearest[0]!r}?"
            )


def node_arguments(node: NodeSpec) -> dict[str, Any]:
    """Return the keyword arguments of ``launch_ros.actions.Node`` for a node.

    Parameters are given as arguments: launch_ros would write them to a file under the node's full
    name, where a person's file with sections such as ``/**`` does not win over them.
    """
    return {
        "package": node.package,
        "executable": node.executable,
        "name": node.name,
        "namespace": node.namespace,
        "ros_arguments": parameter_arguments(node),
        "remappings": list(node.remappings),
        "output": "screen",
        "respawn": node.respawn,
        "respawn_delay": _RESPAWN_DELAY_S,
        **({"sigterm_timeout": str(node.ending_s)} if node.ending_s else {}),
    }


def _actions(graph: str) -> Callable[[Any], list[Any]]:
    def make(context: Any) -> list[Any]:
        names = [f.name for f in fields(GraphOptions)]
        check_typed(context.argv, names)
        texts = {name: context.launch_configurations[name] for name in names}
        options = read_options(texts)
        GRAPHS[graph](options)  # refuses options that make no graph before anything is touched
        _claim(options)
        options = prepare(options)
        set_variable = import_module("launch.actions").SetEnvironmentVariable
        environment = {**environment_of(options), **begun_clock()}
        variables = [set_variable(*pair) for pair in environment.items()]
        rendered = [_render(node) for node in checked_graph(graph, options)]
        return [*variables, *chain.from_iterable(rendered), _end_with_session(options.namespace)]

    return make


def _claim(options: GraphOptions) -> None:
    """Hold the run's directory and the ROS domain until this process ends, as `run_job` does."""
    held = ExitStack()
    held.enter_context(claimed_run(options.paths.root))
    atexit.register(held.close)


def _render(node: NodeSpec) -> list[Any]:
    """Return a node's action, and what its death means for the launch."""
    process = import_module("launch_ros.actions").Node(**node_arguments(node))
    handlers = import_module("launch.event_handlers")
    watch = handlers.OnProcessExit(target_action=process, on_exit=_judge_deaths(node))
    return [process, import_module("launch.actions").RegisterEventHandler(watch)]


def _end_with_session(namespace: str) -> Any:
    """Return an action that ends the launch when the session is over, as the supervisor does."""

    async def end(context: Any) -> None:
        if await session_end(namespace):
            shutdown = import_module("launch.events").Shutdown(reason="the session is done")
            await context.emit_event(shutdown)

    return import_module("launch.actions").OpaqueCoroutine(coroutine=end)


def _judge_deaths(
    node: NodeSpec, now_s: Callable[[], float] = time.monotonic
) -> Callable[[Any, Any], Any]:
    """Return a handler that ends the launch where the supervisor would end the graph.

    With an error, as launch gives exit code 0 to everything that it is asked to end; without one
    where the node was asked to end itself, as by a Ctrl-C that the terminal gave to everybody and
    that launch has yet to hear of. launch itself starts a node again without bound.
    """
    deaths = Deaths()
    born_s = now_s()

    def judge(event: Any, context: Any) -> Any:
        nonlocal born_s
        died_s = now_s()
        is_hopeless = deaths.are_too_many(event.returncode, died_s - born_s)
        born_s = died_s + _RESPAWN_DELAY_S
        is_final = node.is_essential or (node.respawn and is_hopeless)
        if context.is_shutdown or not is_final:
            return None
        if event.returncode == 0:
            return import_module("launch.actions").Shutdown(reason=f"{node.name} was ended")
        raise SessionError(f"{node.name} ended with exit code {event.returncode}")

    return judge


def _to_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _from_text(kind: Any, text: str, name: str) -> Any:
    if kind is str:
        return text
    if kind == tuple[str, ...]:
        return [part.strip() for part in text.split(",") if part.strip()]
    value = parse_yaml(text.strip(), name)
    if isinstance(value, (bool, int, float)):
        return value
    raise ConfigError(f"launch arguments: {name}: expected {kind.__name__}, got {text!r}")
