"""The algorithms that can be asked for by name. Adding one is adding a line."""

from typing import Any, Protocol

from learner_node.algorithms.algorithm import Algorithm
from learner_node.algorithms.group_reinforce import GroupReinforce
from learner_node.algorithms.sft import Sft
from so101.policies.policy import TrainablePolicy


class AlgorithmKind(Protocol):
    """An algorithm's class."""

    @property
    def config_type(self) -> type[Any]:
        """Class of its configuration."""
        ...

    @property
    def aux_topics(self) -> tuple[str, ...]:
        """Names of arrays that every policy's episode must hold for it."""
        ...

    def __call__(self, policy: TrainablePolicy, config: Any, seed: int) -> Algorithm:
        """Take over a policy; its weights change in place."""
        ...


ALGORITHMS: dict[str, AlgorithmKind] = {
    "sft": Sft,
    "group_reinforce": GroupReinforce,
}
