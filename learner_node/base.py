"""The checkpoint that a fine-tuning begins with: taken into the run's store, once."""

from dataclasses import replace
from pathlib import Path

from learner_node.algorithm_table import ALGORITHMS
from learner_node.planning import TrainingRequest
from so101.errors import CheckpointError
from so101.policies.checkpoints.checkpoint import read_spec, take_foreign
from so101.policies.checkpoints.copy import find_checkpoint, load_into
from so101.policies.checkpoints.files import Checkpoint, step_directory, verify
from so101.policies.lerobot.files import is_lerobot
from so101.policies.training_settings import training_settings


def take_base(root: Path, base: str) -> Checkpoint:
    """Return a base as a checkpoint of the store; asked again, the same one.

    Args:
        root: Directory of the store's checkpoints.
        base: A checkpoint or a run of ours, a LeRobot checkpoint, or one of the model hub.

    Raises:
        CheckpointError: It is damaged, does not fit the robot, or there is none.
        StoreError: It cannot be written.
    """
    path = Path(base).expanduser()
    if not is_lerobot(path):
        return load_into(root, find_checkpoint(path.absolute()))
    source = verify(path).sha256
    name = f"base-{source[:10]}"
    target = step_directory(root, name, 0)
    if not target.exists():
        return take_foreign(root, name, path)
    taken = verify(target)
    if taken.record.parent != source:
        raise CheckpointError(f"{target}: exists and is not made from {base}")
    return taken


def with_base(request: TrainingRequest, root: Path, base: str) -> TrainingRequest:
    """Return a request that trains a base further: its inputs and outputs, its rate.

    Raises:
        CheckpointError: See `take_base`.
    """
    taken = take_base(root, base)
    known = ALGORITHMS[request.algorithm].config_type.__dataclass_fields__
    found = training_settings(taken.path, str(request.tuning.get("mode", "")))
    settings = {name: value for name, value in found.items() if name in known}
    return replace(
        request,
        parent=f"{taken.path.parent.name}/{taken.path.name}",
        spec=read_spec(taken.path),
        settings={**settings, **request.settings},
    )
