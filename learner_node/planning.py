"""Plans a training job: fixes what somebody wants trained, and on which episodes, with hashes.

It trains nothing; `learner_node.training` does, from the job and the store alone.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learner_node.algorithm_table import ALGORITHMS
from learner_node.job import TrainingJob
from so101.config import from_mapping, to_mapping
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import DatasetConfig
from so101.data.training.fitness import check_entry
from so101.errors import ConfigError, TrainingError
from so101.policies.checkpoints.files import EpisodeRef, file_sha256, verify
from so101.policies.new_policy import whole_config
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What somebody wants trained; `plan` adds the episodes.

    Attributes:
        name: Series of the checkpoint.
        algorithm: Key in the algorithm table.
        spec: Inputs and outputs of the policy.
        steps: Training steps; 0 for the algorithm's default.
        seed: Of weights, batches and noise.
        phase: Session phase of the episodes that are used; empty for all.
        parent: Checkpoint to start from, relative to the checkpoint root; empty for new weights.
        settings: The algorithm's configuration.
        policy: A new policy's configuration.
        dataset: The dataset's configuration.
        tuning: How much of the parent trains; empty as it did before.
    """

    name: str = "sft"
    algorithm: str = "sft"
    spec: PolicySpec = field(default_factory=PolicySpec)
    steps: int = 0
    seed: int = 0
    phase: str = ""
    parent: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    tuning: Mapping[str, Any] = field(default_factory=dict)


def plan(request: TrainingRequest, store: EpisodeStore, checkpoints: Path) -> TrainingJob:
    """Fix what a job trains on: every fit episode that the store holds now.

    Args:
        request: What is wanted.
        store: Where the episodes are.
        checkpoints: Root of all checkpoints.

    Raises:
        ConfigError: The algorithm or a setting is unknown, or no episode is fit.
        CheckpointError: The parent is damaged.
        TrainingError: Two episodes have the same id.
    """
    where = f"training job {request.name!r}"
    config = _algorithm_config(request.algorithm, request.settings, request.spec, request.steps)
    outcomes = from_mapping(DatasetConfig, request.dataset, f"{where}: dataset").outcomes
    first_step = 0
    if request.parent:
        first_step = verify(checkpoints / request.parent).record.step
    chosen = [
        entry
        for entry in store.episodes()
        if not check_entry(entry, outcomes) and request.phase in ("", entry.facts.phase)
    ]
    ids = [entry.facts.id for entry in chosen]
    if twice := {one for one in ids if ids.count(one) > 1}:
        raise TrainingError(
            f"{store.root}: several episodes are called {', '.join(sorted(twice))}"
        )
    return TrainingJob(
        name=request.name,
        algorithm=request.algorithm,
        episodes=tuple(
            EpisodeRef(id=entry.facts.id, sha256=bag_sha256(store.fetch(entry)))
            for entry in chosen
        ),
        steps=config["steps"],
        seed=request.seed,
        first_step=first_step,
        parent=request.parent,
        spec=request.spec,
        settings=config,
        policy=whole_config(request.policy, f"{where}: policy"),
        dataset=dict(request.dataset),
        tuning=dict(request.tuning),
    )


def bag_sha256(path: Path) -> str:
    """Return the sha256 over the data files of a bag; labels and metadata do not count."""
    files = [path] if path.is_file() else [*path.glob("*.mcap"), *path.glob("*.db3")]
    digests = [file_sha256(file) for file in sorted(files)]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _algorithm_config(
    name: str, settings: Mapping[str, Any], spec: PolicySpec, steps: int
) -> dict[str, Any]:
    """Return the whole configuration: defaults for this kind of policy, then the settings."""
    if name not in ALGORITHMS:
        raise ConfigError(f"algorithm {name!r} is not one of {', '.join(ALGORITHMS)}")
    kind = ALGORITHMS[name].config_type
    values = {**to_mapping(kind.for_policy(spec)), **settings}
    if steps:
        values["steps"] = steps
    checked: dict[str, Any] = to_mapping(from_mapping(kind, values, f"algorithm {name!r}"))
    return checked
