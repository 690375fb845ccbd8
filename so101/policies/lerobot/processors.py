"""LeRobot's processors of a checkpoint: normalization, tokens and device around the network.

Only steps of the list below are built, by the name LeRobot registered them under; a step that
names a class to import is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from so101.data.durable import write_text
from so101.errors import CheckpointError
from so101.policies.checkpoints.json_file import read_json
from so101.policies.checkpoints.tensor_file import read_tensors, write_tensors
from so101.policies.lerobot.files import POSTPROCESSOR, PREPROCESSOR
from so101.policies.lerobot.repositories import Repositories

STEPS = frozenset(
    {
        "absolute_actions_processor",
        "action_tokenizer_processor",
        "device_processor",
        "normalizer_processor",
        "pi05_prepare_state_tokenizer_processor_step",
        "pi0_fast_prepare_state_tokenizer_processor_step",
        "pi0_new_line_processor",
        "relative_actions_processor",
        "rename_observations_processor",
        "smolvla_new_line_processor",
        "to_batch_processor",
        "tokenizer_processor",
        "unnormalizer_processor",
    }
)
_DEVICE = "device_processor"


@dataclass(frozen=True, kw_only=True)
class Processors:
    """Both pipelines of a policy.

    Attributes:
        before: Values in LeRobot's units to what the network sees.
        after: What the network gives to values in LeRobot's units.
    """

    before: Any
    after: Any

    def write(self, directory: Path) -> None:
        """Write LeRobot's files for them."""
        for pipeline, name in ((self.before, PREPROCESSOR), (self.after, POSTPROCESSOR)):
            for file, tensors in pipeline.state_dict().items():
                write_tensors(tensors, directory / f"{file}.safetensors")
            write_ordered(directory / name, _with_device(pipeline.get_config(), "cpu"))


def read_processors(
    directory: Path, values: Mapping[str, Any], repositories: Repositories, device: str
) -> Processors:
    """Build the processors of a checkpoint.

    Args:
        directory: Where its files are.
        values: Content of the policy's config.json.
        repositories: Where its tokenizers come from.
        device: Where the network runs.

    Raises:
        CheckpointError: A file is missing or broken, or a step is none of `STEPS`.
    """
    from lerobot.policies.factory import _reconnect_relative_absolute_steps as reconnect
    from lerobot.processor import converters

    described = {name: _read(directory / name) for name in (PREPROCESSOR, POSTPROCESSOR)}
    completed = _completed(described[PREPROCESSOR], values)
    with repositories.serving(values["type"]):
        before = _build(directory, PREPROCESSOR, _with_device(completed, device), {})
        ways = {
            "to_transition": converters.policy_action_to_transition,
            "to_output": converters.transition_to_policy_action,
        }
        after = _build(
            directory, POSTPROCESSOR, _with_device(described[POSTPROCESSOR], "cpu"), ways
        )
    reconnect(before, after)
    return Processors(before=before, after=after)


def write_ordered(file: Path, values: Mapping[str, Any]) -> None:
    """Write one of LeRobot's JSON files. The order of its features is that of the images."""
    write_text(file, json.dumps(values, indent=1, allow_nan=False) + "\n")


def check_steps(described: Mapping[str, Any], where: str) -> None:
    """Refuse a description of processors whose steps are not all known.

    Raises:
        CheckpointError: A step names a class, an unknown step, or a file outside the checkpoint.
    """
    steps = described.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise CheckpointError(f"{where}: holds no list of steps")
    for step in steps:
        name = step.get("class", step.get("registry_name"))
        if "class" in step or not isinstance(name, str) or name not in STEPS:
            raise CheckpointError(f"{where}: step {name!r} is not one of LeRobot's known ones")
        file = step.get("state_file", "x.safetensors")
        if (
            not isinstance(file, str)
            or Path(file).name != file
            or Path(file).suffix != ".safetensors"
        ):
            raise CheckpointError(
                f"{where}: state_file {file!r} is not a safetensors file beside it"
            )
        if not isinstance(step.get("config", {}), dict):
            raise CheckpointError(f"{where}: config of {name} is no mapping")


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise CheckpointError(
            f"{file}: missing: processors are saved with the policy; a checkpoint of LeRobot "
            "before 0.4 is converted by LeRobot's migrate_policy_normalization first"
        )
    described = read_json(file.resolve())
    check_steps(described, str(file))
    return described


def _build(directory: Path, name: str, described: dict[str, Any], ways: dict[str, Any]) -> Any:
    from lerobot.processor import PolicyProcessorPipeline

    files = [step["state_file"] for step in described["steps"] if "state_file" in step]
    states = {file.removesuffix(".safetensors"): _read_state(directory / file) for file in files}
    try:
        return PolicyProcessorPipeline.from_config(described, state_dict=states, **ways)
    except CheckpointError:
        raise
    except Exception as error:  # whatever a step's own checks raise
        raise CheckpointError(f"{directory / name}: {error}") from error


def _read_state(file: Path) -> dict[str, torch.Tensor]:
    tensors = read_tensors(file)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{file}: {name} holds values that are not finite")
    return tensors


def _completed(described: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description with what LeRobot 0.6.1 leaves out, from the policy's config."""
    left_out = {"fast_skip_tokens": "fast_skip_tokens"}
    left_out["paligemma_tokenizer_name"] = "text_tokenizer_name"
    known = {name: values[key] for name, key in left_out.items() if key in values}
    steps = [
        {**step, "config": {**known, **step.get("config", {})}}
        if step["registry_name"] == "action_tokenizer_processor"
        else step
        for step in described["steps"]
    ]
    return {**described, "steps": steps}


def _with_device(described: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Return the description with its device steps set, whichever machine it came from."""
    steps = [
        {**step, "config": {**step.get("config", {}), "device": device}}
        if step.get("registry_name") == _DEVICE
        else dict(step)
        for step in described["steps"]
    ]
    return {**described, "steps": steps}
