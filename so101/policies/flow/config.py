"""Size, options and norm stats of a flow policy: what rebuilds it besides its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from so101.config import from_mapping, option, to_mapping
from so101.control.action_codec import ActionCodec
from so101.data.batch import ChunkBatch
from so101.data.training.norm_stats import ColumnStats, NormStats
from so101.errors import CheckpointError, ConfigError
from so101.policies.transforms import Normalizer
from so101.spec import PolicySpec

_NATIVE_SAMPLES = 4096
OBJECT_FEATURES = 5
"""Numbers per object: x, y, z, cos and sin of four times the yaw."""


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Size and options of a flow policy."""

    width: int = option(256, "Units per hidden layer.", range=(8, 2048))
    depth: int = option(3, "Hidden layers.", range=(1, 16))
    channels: tuple[int, int] = option((32, 48), "Maps of the first two convolutions.")
    keypoints: int = option(32, "Keypoints per camera.", range=(1, 256))
    euler_steps: int = option(8, "Integration steps of one inference.", range=(1, 100))
    objects: int = option(1, "Objects seen in state mode.", range=(1, 16))
    uses_commands: bool = option(True, "See the command in force besides the measured joints.")
    uses_indicator: bool = option(False, "Be conditioned on an advantage indicator.")
    clip: float = option(1.2, "Bound of a predicted normalised action.", range=(0.1, 100.0))


@dataclass(frozen=True, kw_only=True)
class FlowNorms:
    """The norm stats of a flow policy.

    Attributes:
        positions: Measured and commanded joint positions [rad].
        actions: Native actions.
        objects: Object positions [m] and yaw waves, one column per object feature.
    """

    positions: Normalizer
    actions: Normalizer
    objects: Normalizer | None = None


class DataSource(Protocol):
    """What a new policy learns its norm stats from: a dataset."""

    def norm_stats(self) -> NormStats:
        """Return the statistics of what the policy sees and does."""
        ...

    def chunks(self, rng: np.random.Generator, batch_size: int) -> ChunkBatch:
        """Draw observations and the actions that followed."""
        ...


def flow_norms(spec: PolicySpec, source: DataSource) -> FlowNorms:
    """Return the norm stats of a new policy: the range of everything in the data becomes -1..1.

    Raises:
        ConfigError: The data lacks object poses and the policy uses them.
    """
    stats = source.norm_stats()
    actions = Normalizer.from_range(stats.actions.minimum, stats.actions.maximum)
    if spec.action_space.kind != "joint_absolute":
        actions = _native_range(spec, source)
    objects = None
    if spec.uses_objects:
        if stats.objects is None:
            raise ConfigError("a policy that uses objects needs data with object poses")
        objects = _object_range(stats.objects)
    return FlowNorms(
        positions=Normalizer.from_range(stats.positions.minimum, stats.positions.maximum),
        actions=actions,
        objects=objects,
    )


def _object_range(stats: ColumnStats) -> Normalizer:
    """Return the range of positions; waves are in -1..1 already."""
    waves = np.ones((len(stats.minimum), 2))
    low = np.concatenate([stats.minimum[:, :3], -waves], axis=1)
    high = np.concatenate([stats.maximum[:, :3], waves], axis=1)
    return Normalizer.from_range(low.ravel(), high.ravel())


def _native_range(spec: PolicySpec, source: DataSource) -> Normalizer:
    space = spec.action_space
    batch = source.chunks(np.random.default_rng(0), _NATIVE_SAMPLES)
    seen = batch.observation
    reference = seen.positions if space.reference == "measured" else seen.commands
    native = ActionCodec(space).encode(batch.actions, reference)
    rows = native[batch.mask]
    return Normalizer.from_range(rows.min(axis=0), rows.max(axis=0))


def to_json(config: FlowConfig, norms: FlowNorms) -> dict[str, Any]:
    """Return config and norm stats, ready for JSON."""
    stats = {"positions": norms.positions, "actions": norms.actions}
    if norms.objects is not None:
        stats["objects"] = norms.objects
    return {
        "config": to_mapping(config),
        "norm_stats": {name: norm.to_mapping() for name, norm in stats.items()},
    }


def from_json(
    spec: PolicySpec, values: Mapping[str, Any], where: str
) -> tuple[FlowConfig, FlowNorms]:
    """Read config and norm stats, the inverse of `to_json`.

    Raises:
        CheckpointError: A value is missing, unknown or out of range.
    """
    if "config" not in values:
        raise CheckpointError(f"{where}: missing key 'config'")
    try:
        config = from_mapping(FlowConfig, values["config"], f"{where}: config")
        sizes = {"positions": len(spec.joints), "actions": ActionCodec.size(spec.action_space)}
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    if spec.uses_objects:
        sizes["objects"] = config.objects * OBJECT_FEATURES
    stats = values.get("norm_stats")
    if not isinstance(stats, Mapping) or set(stats) != set(sizes):
        raise CheckpointError(f"{where}: norm_stats must have the keys {', '.join(sizes)}")
    norms = {
        name: Normalizer.from_mapping(stats[name], columns, f"{where}: norm_stats: {name}")
        for name, columns in sizes.items()
    }
    return config, FlowNorms(**norms)
