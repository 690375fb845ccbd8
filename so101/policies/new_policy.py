"""Policies that begin with random weights: their configuration, and what it builds."""

from collections.abc import Mapping
from typing import Any

from so101.config import from_mapping, to_mapping
from so101.policies.flow.config import DataSource, FlowConfig, flow_norms
from so101.policies.flow.policy import FlowPolicy
from so101.policies.policy import TrainablePolicy
from so101.spec import PolicySpec


def whole_config(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a new policy's whole configuration: what was asked for, else the defaults.

    Raises:
        ConfigError: A key is unknown, or a value is wrong.
    """
    whole: dict[str, Any] = to_mapping(from_mapping(FlowConfig, dict(values), where))
    return whole


def new_policy(
    spec: PolicySpec,
    values: Mapping[str, Any],
    source: DataSource,
    *,
    seed: int,
    where: str,
    device: str = "cpu",
) -> TrainablePolicy:
    """Return a new policy with norm stats taken from the data it will learn from.

    Args:
        spec: Inputs and outputs.
        values: Its configuration.
        source: The data.
        seed: Of its weights.
        where: For messages.
        device: Where it runs.

    Raises:
        ConfigError: A value is wrong, or the data lacks what the policy looks at.
    """
    config = from_mapping(FlowConfig, dict(values), where)
    return FlowPolicy(spec, config, flow_norms(spec, source), seed=seed, device=device)
