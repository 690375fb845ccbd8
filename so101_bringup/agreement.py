"""Checks that the nodes of a graph agree on time, before a process starts.

Every node checks its own parameters. What one of them promises another is compared here, whoever
said it: a flag, a launch argument or a person's file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from so101.clock import POLICY_HZ
from so101.config import load_yaml
from so101.errors import ConfigError
from so101.ros.params import defaults
from so101_bringup.graph import GRAPHS, GraphOptions
from so101_bringup.graph_checks import here
from so101_bringup.node_spec import NODES, NodeSpec, flat
from so101_bringup.parameters import check_parameters, params_class

_LATENCY = ("simulation_node", "simulated_latency")
_SAME = (
    (("simulation_node", "lockstep"), ("intervention_node", "lockstep")),
    (("policy_node", "decision_ticks"), ("intervention_node", "policy_decision_ticks")),
    (("policy_node", "aux"), ("recorder_node", "aux")),
    (("teleop_node", "decision_ticks"), ("intervention_node", "teleop_decision_ticks")),
)
"""Parameters that mean the same thing to two nodes; else one waits for the other in vain."""

_SOURCES = ("policy_node", "teleop_node")
_JOINING = (*_SOURCES, "reward_node", "recorder_node")
"""Nodes that wait for samples of the very tick, as every simulated sample has one's stamp."""

_Values = Mapping[tuple[str, str], Any]


def checked_graph(graph: str, options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return a graph whose parameters hold together, a person's files included.

    What these say is left out of the nodes' own parameters: ROS would let those win over a section
    with a wildcard, such as ``/**/reward_node``.

    Args:
        graph: Key in `so101_bringup.graph.GRAPHS`.
        options: What it is made of.

    Raises:
        ConfigError: A value is refused, or nodes disagree.
    """
    nodes = GRAPHS[graph](options)
    check_parameters(nodes)
    check_agreement(nodes)
    return tuple(_without_chosen(node) for node in here(nodes, options))


def _without_chosen(node: NodeSpec) -> NodeSpec:
    if not node.is_ours:
        return node
    chosen = _chosen(node)
    kept = {key: value for key, value in node.parameters.items() if key not in chosen}
    return replace(node, parameters=kept)


def check_agreement(nodes: Sequence[NodeSpec]) -> None:
    """Refuse a graph whose nodes would wait for each other in vain, or miscount time.

    Args:
        nodes: The graph; `so101_bringup.parameters.check_parameters` let its files pass.

    Raises:
        ConfigError: The message names the nodes, their parameters and the values.
    """
    values: _Values = {
        (node.name, key): value
        for node in nodes
        if node.name in NODES
        for key, value in _values_of(node).items()
    }
    for one, other in _SAME:
        if one in values and other in values and values[one] != values[other]:
            raise ConfigError(f"{_show(values, one)}, but {_show(values, other)}: say the same")
    device, told = ("teleop_node", "device"), ("intervention_node", "teleop_device")
    if told in values and values.get(device, "scripted") not in ("scripted", values[told]):
        raise ConfigError(f"{_show(values, device)}, but {_show(values, told)}: say the same")
    names = {node.name for node in nodes}
    if "simulation_node" in names:
        _check_simulated(values)
    if "hardware_node" in names:
        _check_real(values)


def _check_real(values: _Values) -> None:
    """Refuse what only the simulation does; a person's file may be shared with it."""
    for node in (*_JOINING, "intervention_node"):
        if values.get((node, "lockstep"), False):
            raise ConfigError(f"{_show(values, (node, 'lockstep'))}: a real arm waits for nobody")
    for key in (("reward_node", "has_objects"), ("recorder_node", "has_objects")):
        if values.get(key, False):
            raise ConfigError(f"{_show(values, key)}: nobody sees the objects of a real robot")
    arms = ("reward_node", "arms_itself")
    if values.get(arms, False):
        raise ConfigError(f"{_show(values, arms)}: only a person arms a real arm")


def _check_simulated(values: _Values) -> None:
    for key in ((node, "lockstep") for node in _JOINING):
        if not values.get(key, True):
            raise ConfigError(f"{_show(values, key)}: only on a real robot do samples come late")
    speed, lockstep = ("simulation_node", "speed"), ("simulation_node", "lockstep")
    device = ("teleop_node", "device")
    if values[lockstep] and values.get(device, "scripted") != "scripted":
        raise ConfigError(f"{_show(values, device)}: time that waits would wait for the person")
    if not values[lockstep] and values[speed] == 0.0:
        raise ConfigError(f"{_show(values, speed)}: time that waits for nobody needs a speed")
    for key in ((node, "decision_ticks") for node in _SOURCES):
        if key in values and values[_LATENCY] * POLICY_HZ >= values[key]:
            raise ConfigError(
                f"{_show(values, _LATENCY)} is not over before the next decision: "
                f"{_show(values, key)} at {POLICY_HZ} Hz"
            )
    frames, raw = ("recorder_node", "images"), ("simulation_node", "raw_images")
    if values.get(frames, "compressed") != "compressed" and not values[raw]:
        raise ConfigError(f"{_show(values, frames)}, but {_show(values, raw)}: nobody sends them")
    known = ("policy_node", "latency")
    if values.get(known, values[_LATENCY]) < values[_LATENCY]:
        raise ConfigError(
            f"{_show(values, _LATENCY)}, but {_show(values, known)}: chunks would be played "
            "faster than their successors come; set both"
        )


def _values_of(node: NodeSpec) -> dict[str, Any]:
    """Return the parameters that a node will have."""
    return {**defaults(params_class(node.name)), **node.parameters, **_chosen(node)}


def _chosen(node: NodeSpec) -> dict[str, Any]:
    """Return what a person's files say of a node, nested names joined by dots."""
    values: dict[str, Any] = {}
    for path in node.own_files:
        for section, body in load_yaml(Path(path)).items():
            if section == "/**" or str(section).rsplit("/", 1)[-1] == node.name:
                own = body.get("ros__parameters") if isinstance(body, Mapping) else None
                if not isinstance(own, Mapping):
                    where = f"{path}: {section}"
                    raise ConfigError(f"{where}: expected a mapping named ros__parameters")
                values.update(flat(own))
    return values


def _show(values: _Values, key: tuple[str, str]) -> str:
    return f"{key[0]}: {key[1]}={values[key]!r}"
