"""The algorithms that can be asked for by name. Adding one is adding a line."""

from learner_node.algorithms.sft import Sft

ALGORITHMS: dict[str, type[Sft]] = {
    "sft": Sft,
}
