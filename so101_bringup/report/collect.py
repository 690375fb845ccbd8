"""What a run left behind, as values: rollouts, evaluations, checkpoints. Reads; decides nothing.

Episodes are known from the store's listing alone, so that hundreds of bags take no time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from so101.clock import POLICY_HZ
from so101.data.bags.custom_data import published_from_text
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.episode import EpisodeFacts, Outcome
from so101.errors import BagError, CheckpointError, ConfigError, StoreError
from so101.groups.gate import Verdict
from so101.groups.rollout import DEMONSTRATION
from so101.policies.checkpoints.files import TrainingRecord
from so101.policies.checkpoints.json_file import read_json
from so101.policies.checkpoints.roles import Listing, list_checkpoints
from so101.topics import REWARD
from so101_bringup.paths import RunPaths
from so101_bringup.report.rounds import newest_round
from so101_bringup.report.values import SHORT, Attempt, Ending, LeftOut, Run, Trained

Item = TypeVar("Item")
Value = TypeVar("Value")
TIME_LIMIT = "time limit"
"""What the reason of an episode that ran into its time limit begins with."""


def collect(root: Path) -> Run:
    """Read a run.

    Args:
        root: Its directory, or one of bags alone.

    Raises:
        StoreError: There is no such directory, it cannot be read, or it has no rollouts.
    """
    if not root.is_dir():
        raise StoreError(f"{root}: no such directory; name the directory of a run")
    paths = RunPaths(root=root)
    store = EpisodeStore(paths.episodes if paths.episodes.is_dir() else root)
    entries = store.episodes()
    left_out: list[LeftOut] = []
    episodes = _read_each(entries, lambda entry: entry.path.name, _attempt, left_out)
    rollouts = [one for one in episodes if one.facts.phase == "rollouts"]
    if not rollouts:
        raise StoreError(f"{store.root}: no rollouts among {len(entries)} episodes")
    evaluated = [one for one in episodes if one.facts.phase == "evaluation"]
    files = sorted(paths.evaluations.glob("*.json"))
    for trials in _read_each(files, lambda file: file.name, read_evaluation, left_out):
        evaluated += trials
    checkpoints = _read_each(_listings(paths, left_out), _name, _trained, left_out)
    newest = newest_round(rollouts, checkpoints)
    by_number = sorted(newest.rollouts, key=lambda one: (one.facts.group, one.facts.rollout))
    by_group = sorted(newest.checkpoints, key=lambda one: (one.group, one.step, one.name))
    return Run(
        name=root.resolve().name,
        rollouts=tuple(by_number),
        evaluations=_by_checkpoint(evaluated),
        checkpoints=tuple(by_group),
        left_out=(*left_out, *newest.left_out),
    )


def read_evaluation(path: Path) -> list[Attempt]:
    """Read what ``so101 eval --json`` wrote; the file's name begins with the checkpoint's sha256.

    Raises:
        CheckpointError: It is something else.
    """
    values = read_json(path)
    try:
        return [_trial(trial, path.stem[:SHORT]) for trial in values["trials"]]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: no evaluation: {error!r}") from error


def _read_each(
    items: Iterable[Item],
    name_of: Callable[[Item], str],
    read: Callable[[Item], Value | None],
    left_out: list[LeftOut],
) -> list[Value]:
    """Read items one by one; what cannot be used is noted, what reads as None is not wanted."""
    found = []
    for item in items:
        try:
            value = read(item)
        except (BagError, CheckpointError, ConfigError) as error:
            reason = " ".join(str(error).split())
            left_out.append(LeftOut(name=name_of(item), reason=reason))
            continue
        if value is not None:
            found.append(value)
    return found


def _attempt(entry: EpisodeEntry) -> Attempt | None:
    """Return a rollout or an episode of an evaluation; None for any other, and for discarded."""
    if entry.problem:
        raise BagError(entry.problem)
    if entry.is_foreign:
        raise BagError("foreign: it says nothing about a session")
    facts = entry.facts
    if facts.phase not in ("rollouts", "evaluation") or entry.outcome is Outcome.DISCARDED:
        return None
    if entry.is_incomplete:
        raise BagError("incomplete: a part of the recording is missing")
    if entry.outcome is None:
        raise BagError("not labelled: it has no outcome yet")
    if facts.phase == "rollouts" and facts.group < 0:
        raise BagError("a rollout that names no group")
    reason = entry.custom_data.get("reason", "")
    return Attempt(facts=facts, duration_s=_duration(entry), ending=_ending(entry.outcome, reason))


def _duration(entry: EpisodeEntry) -> float:
    """Return an episode's length [s]: every policy tick of it published one reward.

    A bag also holds what was still under way when the episode ended: up to 0.25 s more, differing
    from run to run. Where nobody counted the rewards, it has to do.
    """
    rewards = published_from_text(entry.custom_data, entry.path.name).get(REWARD.name, 0)
    return (rewards - 1) / POLICY_HZ if rewards > 1 else entry.duration_s


def _ending(outcome: Outcome, reason: str) -> Ending:
    if outcome is Outcome.SUCCESS:
        return Ending.SUCCESS
    is_over_time = outcome is Outcome.TRUNCATED and reason.startswith(TIME_LIMIT)
    return Ending.OVER_TIME if is_over_time else Ending.FAILURE


def _trial(values: Mapping[str, Any], checkpoint: str) -> Attempt:
    outcome, kind = Outcome(values["outcome"]), str(values["kind"])
    seed = int(values["seed"])
    return Attempt(
        facts=EpisodeFacts(
            id=f"eval-{checkpoint}-{seed}", phase="evaluation", checkpoint=checkpoint, seed=seed
        ),
        duration_s=float(values["duration_s"]),
        ending=_ending(outcome, TIME_LIMIT if outcome is Outcome.TRUNCATED else kind),
    )


def _by_checkpoint(attempts: Sequence[Attempt]) -> dict[str, tuple[Attempt, ...]]:
    """Sort evaluations by checkpoint and seed; of several with the same seed the last counts."""
    found: dict[str, dict[int, Attempt]] = {}
    for one in attempts:
        found.setdefault(one.facts.checkpoint[:SHORT], {})[one.facts.seed] = one
    return {
        name: tuple(by_seed[seed] for seed in sorted(by_seed)) for name, by_seed in found.items()
    }


def _listings(paths: RunPaths, left_out: list[LeftOut]) -> list[Listing]:
    try:
        return list_checkpoints(paths.checkpoints)
    except CheckpointError as error:
        left_out.append(LeftOut(name=paths.checkpoints.name, reason=str(error)))
        return []


def _name(listing: Listing) -> str:
    return f"{listing.path.parent.name}/{listing.path.name}"


def _trained(listing: Listing) -> Trained:
    if listing.checkpoint is None:
        raise CheckpointError(listing.problem)
    record = listing.checkpoint.record
    return Trained(
        name=_name(listing),
        sha256=listing.checkpoint.sha256,
        algorithm=record.algorithm,
        group=_group(record),
        step=record.step,
        verdict=None if record.gate is None else Verdict.from_mapping(record.gate),
        loss_curve=record.loss_curve,
        is_promoted="promoted" in listing.roles,
        parent=record.parent,
    )


def _group(record: TrainingRecord) -> int:
    """Return the group that a checkpoint was trained after, also where it is not judged yet."""
    trained = int(record.metrics.get("group", DEMONSTRATION))
    group = trained if record.gate is None else record.gate.get("group", trained)
    if not isinstance(group, int):
        raise CheckpointError(f"gate: group {group!r} is not a number")
    return group
