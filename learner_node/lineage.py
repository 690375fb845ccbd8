"""Where checkpoints come from: what each was trained from, back to the supervised policy."""

from contextlib import suppress
from pathlib import Path

from so101.errors import CheckpointError
from so101.groups.gate import Verdict
from so101.policies.checkpoints.files import (
    WEIGHTS,
    Checkpoint,
    is_step_directory,
    read_training,
    verify,
)

ALGORITHM = "group_reinforce"
"""What trains checkpoints after groups; every other algorithm makes a supervised policy."""


def lineage(root: Path, sha256: str) -> tuple[Checkpoint, ...]:
    """Return a checkpoint and those it was trained from, back to the supervised one.

    Args:
        root: Directory of all checkpoints.
        sha256: Of the weights.

    Raises:
        CheckpointError: One of them is not under the root, or is damaged.
    """
    known = {name: path for name, (path, _) in _known(root).items()}
    found: list[Checkpoint] = []
    while not found or found[-1].record.algorithm == ALGORITHM:
        if sha256 not in known:
            raise CheckpointError(f"{root}: no checkpoint has the weights {sha256[:12]!r}")
        found.append(verify(known.pop(sha256)))
        sha256 = found[-1].record.parent
    return tuple(found)


def family(root: Path, supervised: str) -> frozenset[str]:
    """Return the sha256 of everything that descends from a supervised policy, itself included."""
    parents = {name: parent for name, (_, parent) in _known(root).items()}

    def descends(name: str) -> bool:
        seen = set()
        while name != supervised and name not in seen and name in parents:
            seen.add(name)
            name = parents[name]
        return name == supervised

    return frozenset(filter(descends, {*parents, supervised}))


def is_rejected(checkpoint: Checkpoint) -> bool:
    """Tell whether the gate, or a person after it, refused a checkpoint."""
    gate = checkpoint.record.gate
    return gate is not None and not Verdict.from_mapping(gate).is_accepted


def check_promotable(candidate: Checkpoint) -> None:
    """Refuse a group's candidate that the gate did not let pass.

    Raises:
        CheckpointError: It was rejected, or not judged yet.
    """
    is_judged = candidate.record.gate is not None
    if candidate.record.algorithm == ALGORITHM and (not is_judged or is_rejected(candidate)):
        why = "was rejected by the gate" if is_judged else "was not judged yet"
        raise CheckpointError(f"{candidate.path}: {why}; it is not promoted")


def _known(root: Path) -> dict[str, tuple[Path, str]]:
    """Return path and parent of every checkpoint by sha256; of equal weights the first."""
    known: dict[str, tuple[Path, str]] = {}
    for path in sorted(root.glob("*/step_*")):
        with suppress(CheckpointError):  # a damaged one matters only where it is needed
            if is_step_directory(path):
                record, files = read_training(path)
                known.setdefault(files.get(WEIGHTS, ""), (path, record.parent))
    return known
