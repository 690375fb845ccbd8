"""Which job the learner runs when asked to fine-tune: demonstrations, named by its content."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from learner_node.algorithm_table import ALGORITHMS
from learner_node.base import with_base
from learner_node.job import JobDirectory, TrainingJob
from learner_node.lineage import ALGORITHM as GROUP_ALGORITHM
from learner_node.params import LearnerParams
from learner_node.planning import TrainingRequest, plan
from so101.config import to_mapping
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome
from so101.errors import ConfigError, TrainingError
from so101.spec import PolicySpec


def request_of(params: LearnerParams) -> TrainingRequest:
    """Return what the node's parameters ask for.

    Raises:
        ConfigError: There is no such algorithm, or it learns from groups of rollouts only.
    """
    known = [name for name in ALGORITHMS if name != GROUP_ALGORITHM]
    if params.algorithm not in known:
        raise ConfigError(f"algorithm: {params.algorithm!r} is not one of {', '.join(known)}")
    chosen = {"batch_size": params.batch_size, "learning_rate": params.learning_rate}
    size = (params.image_height, params.image_width) if params.cameras else (0, 0)
    return TrainingRequest(
        name=params.algorithm,
        algorithm=params.algorithm,
        spec=PolicySpec(cameras=params.cameras, image_size=size, uses_objects=params.uses_objects),
        steps=params.steps,
        seed=params.seed,
        settings={name: value for name, value in chosen.items() if value},
        dataset={"outcomes": [Outcome.SUCCESS.value], "trim": {"mode": params.trim}},
        tuning=to_mapping(params.tuning) if params.base else {},
    )


def fine_tuning_job(
    request: TrainingRequest, store: EpisodeStore, checkpoints: Path, *, base: str = ""
) -> TrainingJob:
    """Fix a fine-tuning on every successful demonstration that the store holds now.

    The job's name, and so its checkpoint's, ends in a hash of everything that decides its result:
    asking again for the same thing finds what was made before.

    Args:
        request: What is wanted.
        store: Where the episodes are.
        checkpoints: Root of all checkpoints.
        base: What is fine-tuned, see `learner_node.base`; empty for new weights.

    Raises:
        CheckpointError: The base is damaged, or does not fit the robot.
        TrainingError: The store holds no successful demonstration.
    """
    shown = {entry.facts.id for entry in store.episodes() if entry.is_demonstration}
    if base:
        request = with_base(request, checkpoints, base)
    job = plan(request, store, checkpoints)
    episodes = tuple(episode for episode in job.episodes if episode.id in shown)
    if not episodes:
        raise TrainingError(f"{store.root}: no successful demonstration to imitate")
    job = replace(job, episodes=episodes)
    text = json.dumps(to_mapping(job), sort_keys=True)
    return replace(job, name=f"{job.name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}")


def open_job(jobs: Path, job: TrainingJob) -> JobDirectory:
    """Return the directory of a job, made if it is new."""
    directory = JobDirectory(jobs / job.name)
    if not directory.exists():
        directory.create(job)
    return directory
