"""Builds LeRobot's networks from a checkpoint's files: config, weights, adapters.

LeRobot's own ``from_pretrained`` goes on with random weights where it cannot read them, downloads
backbones that a checkpoint replaces at once, and runs code of the hub; nothing of it is used here.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import torch

from so101.data.exchange.lerobot_format import HOW_TO_INSTALL, check_installed
from so101.errors import CheckpointError, ConfigError
from so101.policies.checkpoints.json_file import read_json
from so101.policies.checkpoints.tensor_file import read_tensors
from so101.policies.lerobot.files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    WEIGHTS,
    check_files,
    locate,
)
from so101.policies.lerobot.processors import Processors, read_processors, write_ordered
from so101.policies.lerobot.repositories import Repositories
from so101.policies.lerobot.spec import Outline, outline
from so101.policies.lerobot.tuning import UNUSED_HEADS, drop_unused_heads
from so101.policies.lerobot.weights import load_network, put_weights, save_network

PI_KINDS = frozenset({"pi0", "pi05", "pi0_fast"})
PACKAGES = {
    "diffusion": ("diffusers",),
    "smolvla": ("transformers", "num2words"),
    **dict.fromkeys(PI_KINDS, ("transformers", "scipy")),
}
PADDING_MASK = "_padding_mask"
"""Behind an image feature's name: False where the image is absent."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A LeRobot policy with all that is around its network.

    Attributes:
        network: LeRobot's PreTrainedPolicy, in evaluation mode.
        values: Its config.json.
        processors: Normalization, tokens and device around it.
        repositories: What it needs of other repositories.
    """

    network: Any
    values: Mapping[str, Any]
    processors: Processors
    repositories: Repositories

    @property
    def outline(self) -> Outline:
        """What the config says."""
        return outline(self.values, CONFIG)

    def write(self, directory: Path) -> None:
        """Write LeRobot's files and what makes them self-contained into a directory."""
        write_ordered(directory / CONFIG, self.values)
        self.processors.write(directory)
        self.repositories.write(directory)
        save_network(self.network, directory / WEIGHTS)

    def load(self, directory: Path) -> None:
        """Read the weights back.

        Raises:
            CheckpointError: A tensor is missing, unknown, of another size or type, or not finite.
        """
        load_network(self.network, directory / WEIGHTS)


def check_python() -> None:
    """Refuse a Python that LeRobot does not run on.

    Raises:
        ConfigError: It is older than 3.12.
    """
    if sys.version_info < (3, 12):
        raise ConfigError(
            f"LeRobot's policies need Python 3.12 or later, this is {sys.version.split()[0]}; "
            f"{HOW_TO_INSTALL}"
        )


def read_parts(directory: Path, *, device: str = "cpu", dtype: str = "") -> Parts:
    """Build everything but the weights, which stay random.

    Args:
        directory: Where config.json and the processors are.
        device: Where the network runs.
        dtype: ``float32``, ``bfloat16`` or empty for what the config says.

    Raises:
        CheckpointError: A file is missing or broken, or not for this arm or this software.
        ConfigError: LeRobot, or a package of this policy, is not installed.
    """
    values = read_json((directory / CONFIG).resolve())
    kind = outline(values, str(directory / CONFIG)).kind
    check_python()
    check_installed(("lerobot", *PACKAGES.get(kind, ())))
    repositories = Repositories(directory)
    network = _build(directory, values, repositories, device, dtype)
    processors = read_processors(directory, values, repositories, device)
    return Parts(network=network, values=values, processors=processors, repositories=repositories)


def read_foreign(directory: Path, *, device: str = "cpu", dtype: str = "") -> Parts:
    """Build a policy with the weights that LeRobot wrote, an adapter merged into them.

    Raises:
        CheckpointError: As `read_parts`, or weights are missing, unknown or not finite.
        ConfigError: LeRobot, or a package of this policy, is not installed.
    """
    files = check_files(directory)
    parts = read_parts(directory, device=device, dtype=dtype)
    if WEIGHTS in files:
        _put_foreign(parts.network, files[WEIGHTS])
        return parts
    base = _base_of(directory)
    _put_foreign(parts.network, check_files(base)[WEIGHTS])
    return Parts(
        network=_merged(parts.network, directory),
        values={**parts.values, "use_peft": False},
        processors=parts.processors,
        repositories=parts.repositories,
    )


def _build(
    directory: Path,
    values: Mapping[str, Any],
    repositories: Repositories,
    device: str,
    dtype: str,
) -> Any:
    import draccus
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies.factory import get_policy_class

    where, kind = directory / CONFIG, values["type"]
    try:
        policy_class = get_policy_class(kind)
        config_class = PreTrainedConfig.get_choice_class(kind)
        fields = {key: value for key, value in values.items() if key != "type"}
        config = draccus.decode(config_class, {**fields, "device": "cpu", "use_amp": False})
    except ImportError as error:
        raise ConfigError(f"{where}: {kind}: {error}; {HOW_TO_INSTALL}") from error
    except Exception as error:  # draccus and each config's checks raise their own
        raise CheckpointError(f"{where}: {error}") from error
    is_half_vlm = _prepare(config, kind, dtype, str(where))
    with torch.random.fork_rng(devices=[]), repositories.serving(kind):
        try:
            network = policy_class(config)
        except CheckpointError:
            raise
        except Exception as error:
            cause = error.__cause__
            if isinstance(cause, CheckpointError):
                raise cause from error
            raise CheckpointError(f"{where}: {kind} cannot be built: {error}") from error
    if kind in ("pi0", "pi05"):
        drop_unused_heads(network)
    if is_half_vlm:
        network.model.vlm_with_expert.vlm.to(torch.bfloat16)
    if kind in PI_KINDS:
        network._preprocess_images = MethodType(_masked_images, network)
    config.device = device
    return network.to(device).eval()


def _prepare(config: Any, kind: str, dtype: str, where: str) -> bool:
    """Set what concerns building and running; tell whether a VLM of its own is to be bfloat16."""
    own = getattr(config, "dtype", None)
    is_half_vlm = kind == "smolvla" and (config.load_vlm_weights or dtype == "bfloat16")
    if kind == "smolvla":
        config.load_vlm_weights = False  # the checkpoint has them
    elif dtype and own is None and dtype != "float32":
        raise ConfigError(f"{where}: dtype {dtype}: {kind} is float32 only")
    elif dtype and own is not None:
        config.dtype = dtype
    if hasattr(config, "pretrained_backbone_weights"):
        config.pretrained_backbone_weights = None  # the checkpoint has them
    if hasattr(config, "compile_model"):
        config.compile_model = False  # minutes at the first chunk
    if kind == "diffusion":  # hand out every point from the observation on
        config.n_action_steps = config.horizon - config.n_obs_steps + 1
    if kind == "pi0_fast":  # the cosine transform was over the whole chunk
        config.n_action_steps = config.chunk_size
    return bool(is_half_vlm) and dtype != "float32"


def _put_foreign(network: Any, path: Path) -> None:
    stored = read_tensors(path)
    own = network.state_dict()
    if not UNUSED_HEADS & set(own) and set(own) <= set(stored):
        stored = {name: one for name, one in stored.items() if name not in UNUSED_HEADS}
    fix = getattr(network, "_fix_pytorch_state_dict_keys", None)
    if fix is not None and set(stored) - set(own):
        fixed = fix(stored, network.config)
        stored = {n if n.startswith("model.") else f"model.{n}": t for n, t in fixed.items()}
    put_weights(network, stored, path, spare=UNUSED_HEADS, is_cast=True)


def _base_of(directory: Path) -> Path:
    where = directory / ADAPTER_CONFIG
    base = read_json(where.resolve()).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise CheckpointError(f"{where}: names no base_model_name_or_path")
    try:
        return locate(Path(base)).directory
    except CheckpointError as error:
        raise CheckpointError(f"{where}: its base model: {error}") from error


def _merged(network: Any, directory: Path) -> Any:
    """Return the network with a LoRA adapter added to its weights."""
    check_installed(("peft",))
    from peft import PeftModel

    try:
        merged = PeftModel.from_pretrained(network, str(directory)).merge_and_unload()
    except Exception as error:  # of peft, torch or safetensors
        raise CheckpointError(f"{directory / ADAPTER_WEIGHTS}: {error}") from error
    for name, tensor in merged.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{directory / ADAPTER_WEIGHTS}: makes {name} not finite")
    return merged.eval()


def _masked_images(network: Any, batch: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Let pi0's own preparation of images heed the masks of absent ones, row by row."""
    images, masks = type(network)._preprocess_images(network, batch)
    present = [name for name in network.config.image_features if name in batch]
    for i, name in enumerate(present):
        given = batch.get(name + PADDING_MASK)
        if given is not None:
            masks[i] = masks[i] & given.to(masks[i].device)
    return images, masks
