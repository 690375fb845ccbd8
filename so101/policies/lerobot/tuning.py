"""Which weights of a LeRobot policy train, and in what precision.

    full     every weight that has an effect on the actions
    expert   the action expert and the projections around it; the vision-language model is frozen
    lora     low-rank adapters W + (alpha / rank) B A (Hu et al. 2021, arXiv:2106.09685), by
             default where LeRobot puts them; everything else is frozen

Adapters are put into the network in place: it stays the policy that it was, for inference and for
the losses. Whoever copies a policy to act with it shares what is frozen (`share_frozen`), so that
the copy costs what trains and not four billion weights.

With ``bfloat16`` frozen weights are kept in 16 bits and trained ones in 32, computed in 16: a step
of 1e-5 on a weight of 1e-2 would be lost in the rounding of the former.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from so101.errors import CheckpointError, ConfigError
from so101.policies.tuning import Tuning

_ADAPTER = "default"
_PI_HEADS = ("paligemma", "gemma_expert")
UNUSED_HEADS = frozenset(
    f"model.paligemma_with_expert.{part}.lm_head.weight" for part in _PI_HEADS
)
"""Weights of pi0 and pi0.5 that `drop_unused_heads` takes out."""
_EXPERTS = {
    "smolvla": r"model\.(vlm_with_expert\.lm_expert\.|state_proj|action_)",
    "pi0": r"model\.(paligemma_with_expert\.gemma_expert\.|state_proj|action_)",
    "pi05": r"model\.(paligemma_with_expert\.gemma_expert\.|time_mlp_|action_)",
}
"""What an expert's training changes, by policy: the beginnings of parameter names."""
_LANGUAGE_MODELS = {
    "smolvla": "model.vlm_with_expert.vlm.model.text_model",
    "pi0": "model.paligemma_with_expert.paligemma.model.language_model",
    "pi05": "model.paligemma_with_expert.paligemma.model.language_model",
}
_TARGETS = {"pi0_fast": r".*\.language_model\..*\.self_attn\.(q|v)_proj"}
"""Layers that adapters change where LeRobot names none."""


def has_expert(name: str) -> bool:
    """Tell whether a kind of LeRobot policy has an action expert of its own."""
    return name in _EXPERTS


def apply_tuning(policy: Any, tuning: Tuning, *, seed: int = 0) -> Tuning:
    """Choose what trains, in place; adapters from before are merged.

    Args:
        policy: A LeRobot ``PreTrainedPolicy``.
        tuning: What trains.
        seed: Of new adapters; they begin without an effect.

    Returns:
        The tuning with everything said that it left open.

    Raises:
        ConfigError: The policy has no such part, or the adapters match nothing.
    """
    tuning = _resolved(policy, tuning)
    merge_adapters(policy)
    match tuning.mode:
        case "full":
            _train_all(policy)
        case "expert":
            _train_expert(policy)
        case _:
            _add_adapters(policy, tuning, seed)
    _set_precision(policy, tuning.precision)
    if tuning.checkpoint_gradients:
        _checkpoint_gradients(policy)
    return tuning


def trained(policy: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights that train by name, always in the same order."""
    return {name: one for name, one in policy.named_parameters() if one.requires_grad}


def count(parameters: Mapping[str, Tensor]) -> int:
    """Return how many numbers there are."""
    return sum(one.numel() for one in parameters.values())


def computing(policy: nn.Module, tuning: Tuning | None) -> AbstractContextManager[Any]:
    """Return the context in which losses and chunks are computed."""
    if tuning is None or tuning.precision != "bfloat16":
        return nullcontext()
    device = next(policy.parameters()).device.type
    return torch.autocast(device, dtype=torch.bfloat16)


def frozen_memo(policy: nn.Module) -> dict[int, Any]:
    """Return the memo with which ``copy.deepcopy`` shares what does not train."""
    return {id(one): one for one in policy.parameters() if not one.requires_grad}


def share_frozen(policy: nn.Module) -> nn.Module:
    """Return a copy with modules and trained weights of its own, what is frozen in common."""
    return copy.deepcopy(policy, frozen_memo(policy))


def drop_unused_heads(policy: Any) -> int:
    """Take out the language heads that pi0 and pi0.5 hold and never ask; return their weights.

    Raises:
        ConfigError: It is another policy: pi0-FAST speaks with its head.
    """
    if policy.name not in ("pi0", "pi05"):
        raise ConfigError(f"{policy.name}: has no unused language heads")
    parts = policy.model.paligemma_with_expert
    before = count(dict(policy.named_parameters()))
    for name in _PI_HEADS:
        getattr(parts, name).lm_head = nn.Identity()
    return before - count(dict(policy.named_parameters()))


def merge_adapters(policy: nn.Module) -> int:
    """Fold adapters into the weights under them, in place; return how many there were.

    The chunks stay what they were but for rounding, and cost no more than without adapters. Frozen
    weights that copies share are replaced, not changed.
    """
    found = list(_adapted(policy))
    for parent, name, layer in found:
        base = layer.get_base_layer()
        change = layer.get_delta_weight(_ADAPTER)
        weight = (base.weight.detach() + change.to(base.weight.dtype)).clone()
        base.weight = nn.Parameter(weight, requires_grad=False)
        setattr(parent, name, base)
    if found and hasattr(policy, "peft_config"):
        del policy.peft_config  # else the next adapters would be taken for a second set
    return len(found)


def load_tensors(policy: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy named tensors into a policy; names it does not mention stay as they are.

    Raises:
        CheckpointError: A name is unknown, or a shape, type or value does not fit.
    """
    own = policy.state_dict()
    if unknown := sorted(set(tensors) - set(own)):
        raise CheckpointError(f"{where}: unknown tensors: {', '.join(unknown[:5])}")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            raise CheckpointError(
                f"{where}: {name} is {tensor.dtype} of shape {tuple(tensor.shape)}, "
                f"needs {own[name].dtype} of shape {tuple(own[name].shape)}"
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"{where}: {name} holds values that are not finite")
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def _resolved(policy: Any, tuning: Tuning) -> Tuning:
    mode = tuning.mode or ("expert" if has_expert(policy.name) else "full")
    is_half = any(one.dtype == torch.bfloat16 for one in policy.parameters())
    precision = tuning.precision or ("bfloat16" if is_half else "float32")
    return replace(tuning, mode=mode, precision=precision)


def _train_all(policy: Any) -> None:
    unused = _unused(policy)
    for name, one in policy.named_parameters():
        one.requires_grad_(not unused.match(name))


def _train_expert(policy: Any) -> None:
    if policy.name not in _EXPERTS:
        known = ", ".join(_EXPERTS)
        raise ConfigError(f"{policy.name}: has no action expert to tune alone; {known} have")
    expert, unused = re.compile(_EXPERTS[policy.name]), _unused(policy)
    for name, one in policy.named_parameters():
        one.requires_grad_(bool(expert.match(name)) and not unused.match(name))


def _unused(policy: Any) -> re.Pattern[str]:
    """Return which weights no action depends on.

    The expert attends to keys and values of the language model: what follows them in its last
    layer is computed for nobody, and so are its head's words.
    """
    if policy.name not in _LANGUAGE_MODELS:
        return re.compile(r"(?!)")
    where = _LANGUAGE_MODELS[policy.name]
    last = len(policy.get_submodule(where).layers) - 1
    tail = r"self_attn\.[qo]_proj\.|mlp\.|post_attention_layernorm\."
    model = re.escape(where)
    return re.compile(rf".*\.lm_head\.|{model}\.norm\.|{model}\.layers\.{last}\.({tail})")


def _add_adapters(policy: Any, tuning: Tuning, seed: int) -> None:
    if find_spec("peft") is None:
        raise ConfigError("lora: the package peft is not installed; it comes with LeRobot's extra")
    from peft import LoraConfig, inject_adapter_in_model  # transformers, which takes seconds

    lerobots = policy._get_default_peft_targets() or {}
    targets = tuning.targets or lerobots.get("target_modules") or _TARGETS.get(policy.name)
    if not targets:
        raise ConfigError(f"{policy.name}: LeRobot names no layers for adapters; give targets")
    for one in policy.parameters():
        one.requires_grad_(False)
    config = LoraConfig(
        r=tuning.rank, lora_alpha=tuning.alpha, lora_dropout=0.0, target_modules=targets
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, policy, adapter_name=_ADAPTER)
        except ValueError as error:
            raise ConfigError(f"{policy.name}: lora: {error}") from error


def _adapted(policy: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    """Yield each adapted layer with the module that holds it, and its name there."""
    for parent in policy.modules():
        for name, child in parent.named_children():
            if hasattr(child, "get_delta_weight") and hasattr(child, "get_base_layer"):
                yield parent, name, child


def _set_precision(policy: nn.Module, precision: str) -> None:
    for one in policy.parameters():
        if not one.is_floating_point():
            continue
        # norms and biases are small, and LeRobot keeps them exact as well
        is_half = precision == "bfloat16" and not one.requires_grad and one.ndim > 1
        one.data = one.data.to(torch.bfloat16 if is_half else torch.float32)


def _checkpoint_gradients(policy: Any) -> None:
    if policy.name == "diffusion":
        policy.config.gradient_checkpointing = True  # asked by its network at each pass
    elif hasattr(getattr(policy, "model", None), "gradient_checkpointing_enable"):
        policy.model.gradient_checkpointing_enable()
    else:
        raise ConfigError(f"{policy.name}: LeRobot has no gradient checkpointing for it")
