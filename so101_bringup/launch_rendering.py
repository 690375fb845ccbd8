"""Turns the graph into launch_ros actions.

``launch`` exists on ROS installations only, so it is imported when it is used, and by name: the
checkout's own ``launch`` folder looks like a package of that name to type checkers.
"""

import atexit
import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from itertools import chain
from typing import Any

from so101.errors import SessionError
from so101_bringup.agreement import checked_graph
from so101_bringup.claims import claimed_run
from so101_bringup.deaths import Deaths
from so101_bringup.environment import begun_clock
from so101_bringup.graph import GRAPHS, GraphOptions, environment_of
from so101_bringup.launch_arguments import check_typed, launch_arguments, read_options, unused
from so101_bringup.launch_table import LAUNCH_FILES, LaunchFile
from so101_bringup.node_spec import NodeSpec
from so101_bringup.preparation import prepare
from so101_bringup.session_watch import first_message, session_end
from so101_bringup.supervisor import parameter_arguments

_RESPAWN_DELAY_S = 2.0


def describe(name: str) -> Any:
    """Return what a launch file describes: its arguments, then its nodes.

    Args:
        name: Key in `so101_bringup.launch_table.LAUNCH_FILES`.
    """
    file = LAUNCH_FILES[name]
    declare = import_module("launch.actions").DeclareLaunchArgument
    arguments = [
        declare(
            each.name,
            description=each.doc,
            **({} if each.default is None else {"default_value": each.default}),
            **({"choices": list(each.choices)} if each.choices else {}),
        )
        for each in launch_arguments(file)
    ]
    nodes = import_module("launch.actions").OpaqueFunction(function=_actions(file))
    return import_module("launch").LaunchDescription([*arguments, nodes])


def node_arguments(node: NodeSpec) -> dict[str, Any]:
    """Return the keyword arguments of ``launch_ros.actions.Node`` for a node.

    Parameters are given as arguments: launch_ros would write them to a file under the node's full
    name, where a person's file with sections such as ``/**`` does not win over them.
    """
    return {
        "package": node.package,
        "executable": node.executable,
        "namespace": node.namespace,
        "arguments": list(node.arguments),
        "ros_arguments": parameter_arguments(node),
        "remappings": list(node.remappings),
        "output": "screen",
        "respawn": node.respawn,
        "respawn_delay": _RESPAWN_DELAY_S,
        **({} if node.names_itself else {"name": node.name}),
        **({"prefix": shlex.quote(node.python)} if node.python else {}),
        **({"sigterm_timeout": str(node.ending_s)} if node.ending_s else {}),
    }


def _actions(file: LaunchFile) -> Callable[[Any], list[Any]]:
    def make(context: Any) -> list[Any]:
        actions = import_module("launch.actions")
        check_typed(context.argv)
        notes = [f"this launch file has no use for {name}" for name in unused(context.argv, file)]
        texts = {name: context.launch_configurations[name] for name in file.arguments}
        options = read_options({**texts, **file.fixed})
        GRAPHS[file.graph](options)  # refuses what makes no graph before anything is touched
        if file.is_session:
            _claim(options)
        options = prepare(options)
        variables = {**environment_of(options), **begun_clock()}.items()
        rendered = [_render(node) for node in checked_graph(file.graph, options)]
        return [
            *(actions.LogInfo(msg=note) for note in notes),
            *(actions.SetEnvironmentVariable(*pair) for pair in variables),
            *chain.from_iterable(rendered),
            *([_end_with_session(options.namespace)] if file.is_session else []),
        ]

    return make


def _claim(options: GraphOptions) -> None:
    """Hold the run's directory and the ROS domain until this process ends, as `run_job` does."""
    held = ExitStack()
    held.enter_context(claimed_run(options.paths.root, options.namespace))
    atexit.register(held.close)


def _render(node: NodeSpec) -> list[Any]:
    """Return a node's action, and what its death means for the launch."""
    process = import_module("launch_ros.actions").Node(**node_arguments(node))
    handlers = import_module("launch.event_handlers")
    watch = handlers.OnProcessExit(target_action=process, on_exit=_judge_deaths(node))
    actions = [process, import_module("launch.actions").RegisterEventHandler(watch)]
    return [_start_after(node, actions)] if node.after else actions


def _start_after(node: NodeSpec, entities: list[Any]) -> Any:
    """Return an action that starts a node when the first message of a topic has come."""

    async def start(context: Any) -> None:
        if await first_message(node.namespace, node.after):
            description = import_module("launch").LaunchDescription(entities)
            include = import_module("launch.events").IncludeLaunchDescription(description)
            await context.emit_event(include)

    return import_module("launch.actions").OpaqueCoroutine(coroutine=start)


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
        if node.ends_itself:
            is_final = event.returncode != 0
        if context.is_shutdown or not is_final:
            return None
        if event.returncode == 0:
            return import_module("launch.actions").Shutdown(reason=f"{node.name} was ended")
        raise SessionError(f"{node.name} ended with exit code {event.returncode}")

    return judge
