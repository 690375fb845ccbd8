"""What the policy node says about itself. Pure."""

from typing import Any

from policy_node.loader import Loaded
from policy_node.part import Part, PartConfig
from policy_node.worker import Answer
from so101.clock import POLICY_GRID
from so101.policies.policy import Inference
from so101.policies.schedules.latency import LatencyEstimate
from so101.status_events import PolicyInfo


def told_of(answer: Answer, inference: Inference) -> dict[str, Any]:
    """Return what `PolicyInfo` says of an inference that gave a chunk."""
    return {
        "inference_ms": answer.inference_ms,
        "waited_ms": answer.waited_ms,
        "speed": inference.chunk.speed,
        "ages_ms": answer.question.ages_ms,
        "native_action": tuple(inference.native_action.ravel().tolist()),
    }


def info_of(
    config: PartConfig,
    live: Loaded | None,
    part: Part | None,
    latency: LatencyEstimate,
    **values: Any,
) -> PolicyInfo:
    """Return the ``policy/info`` of a moment.

    Args:
        config: How the policy acts.
        live: Who acts, or None.
        part: Its part in the present episode, or None.
        latency: What its schedule reckons with.
        values: The rest of it, the stamp among them.
    """
    if live is not None:
        latency_ticks = POLICY_GRID.ceil(config.latency_ns)
        values["highest_speed"] = live.policy.spec.action_space.highest_speed(latency_ticks)
    if part is not None:
        values |= {"overtaken": part.overtaken, "refused": part.refused}
    return PolicyInfo(
        checkpoint="" if live is None else live.sha256,
        schedule=config.schedule,
        latency_ms=latency.expected_ns / 1e6,
        **values,
    )
