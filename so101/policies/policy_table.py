"""The policies a checkpoint may name. Adding one is adding a line.

A kind is imported when a checkpoint names it: who runs a flow policy needs nothing of LeRobot.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from so101.policies.policy import TrainablePolicy
from so101.spec import PolicySpec

POLICIES = {
    "flow": "so101.policies.flow.policy:FlowPolicy",
    "lerobot": "so101.policies.lerobot.policy:LeRobotPolicy",
}


class PolicyClass(Protocol):
    """What a class of this table offers."""

    def from_mapping(
        self, spec: PolicySpec, values: Mapping[str, Any], where: str, device: str = "cpu"
    ) -> TrainablePolicy:
        """Rebuild a policy from policy.json, whose path is ``where``; its weights stay random.

        Raises:
            CheckpointError: A value is missing, unknown or out of range.
        """
        ...


def policy_class(kind: str) -> PolicyClass:
    """Import the class of a kind in `POLICIES`."""
    module, name = POLICIES[kind].split(":")
    found: PolicyClass = getattr(import_module(module), name)
    return found
