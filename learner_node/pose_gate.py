"""The update gate of a group's candidate: fixed poses in a simulated cell, verdict in a file.

What each policy did on the poses is written with every verdict, so that neither the acting nor the
supervised policy is tried twice on the same poses, whoever asks and whenever the learner died.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learner_node.arena import Arena
from so101.episode_plan import EpisodePlan
from so101.errors import CheckpointError
from so101.groups.gate import GateConfig, Verdict, judge
from so101.groups.rollout import RatedRollout
from so101.policies.checkpoints.checkpoint import load_policy, read_spec
from so101.policies.checkpoints.files import Checkpoint, is_step_directory, read_training
from so101.policies.checkpoints.roles import record_gate
from so101.robot import CAMERAS, JOINTS
from so101.status_events import GroupRequest

Each = Callable[[int, int], bool]
"""Told how many poses of how many were tried; answers whether to stop."""


@dataclass(frozen=True, kw_only=True)
class Rivals:
    """Who is compared: the candidate, the policy that acts now, the supervised one."""

    candidate: Checkpoint
    acting: Checkpoint
    supervised: Checkpoint


class PoseGate:
    """Judges candidates of one run."""

    def __init__(self, root: Path, config: GateConfig) -> None:
        """Judge checkpoints under a root.

        Args:
            root: Directory of all checkpoints.
            config: How strict it is.
        """
        self._root, self._config = root, config

    def judge(self, rivals: Rivals, request: GroupRequest, each: Each) -> Checkpoint | None:
        """Return the candidate with its verdict, from its file or tried now; None when stopped.

        Args:
            rivals: Who is compared.
            request: Names the group, and the starts that are tried.
            each: Called after every pose.

        Raises:
            CheckpointError: A checkpoint is damaged.
        """
        if rivals.candidate.record.gate is not None:
            return rivals.candidate
        gate = self._decide(rivals, request, each)
        return None if gate is None else record_gate(rivals.candidate.path, gate)

    def _decide(
        self, rivals: Rivals, request: GroupRequest, each: Each
    ) -> Mapping[str, Any] | None:
        told = {
            "by": self._config.by,
            "group": request.group,
            "highest_speed": request.highest_speed,
        }
        if self._config.by == "nothing":
            off = Verdict(is_accepted=True, evidence={"gate": "off"})
            return {**off.to_mapping(), **told}
        setting = self._setting(request)
        known = recorded_tries(self._root, setting)
        everyone = (rivals.supervised, rivals.acting, rivals.candidate)
        missing = {one.sha256: one for one in everyone if one.sha256 not in known}
        if missing:
            tried = self._try_out(list(missing.values()), request, each)
            if tried is None:
                return None
            known |= tried
        verdict = judge(
            *(_rated(known[one.sha256]) for one in reversed(everyone)),
            margin=self._config.margin,
            limit_s=request.time_limit_s,
        )
        tries = {one.sha256: known[one.sha256] for one in everyone}
        return {**verdict.to_mapping(), **told, "setting": setting, "tries": tries}

    def _try_out(
        self, checkpoints: Sequence[Checkpoint], request: GroupRequest, each: Each
    ) -> dict[str, list[float | None]] | None:
        """Return how long each checkpoint took from each pose, None where it failed."""
        plan = EpisodePlan(seed=request.seed, task=request.task, start=request.start)
        spec = read_spec(checkpoints[0].path)
        arena = Arena(plan, spec, time_limit_s=request.time_limit_s)
        poses, found = self._config.poses, dict[str, list[float | None]]()
        try:
            for number, checkpoint in enumerate(checkpoints):
                policy = load_policy(checkpoint.path, JOINTS, CAMERAS)
                durations = found[checkpoint.sha256] = []
                for one in arena.tries(policy, "gate", poses):
                    durations.append(one.duration_s if one.is_success else None)
                    if each(number * poses + len(durations), len(checkpoints) * poses):
                        return None
        finally:
            arena.close()
        return found

    def _setting(self, request: GroupRequest) -> dict[str, Any]:
        """Return what two trials must share to be compared."""
        return {
            "poses": self._config.poses,
            "seed": request.seed,
            "task": request.task,
            "start": request.start,
            "time_limit_s": request.time_limit_s,
        }


def recorded_tries(root: Path, setting: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """Return what earlier verdicts say of policies on these poses, by sha256 of the weights."""
    found: dict[str, list[float | None]] = {}
    for path in sorted(root.glob("*/step_*")):
        if not is_step_directory(path):
            continue
        with suppress(CheckpointError):  # a damaged one is nobody's rival; its poses are tried
            gate = read_training(path)[0].gate or {}
            if gate.get("setting") == setting:
                found |= gate.get("tries", {})
    return found


def _rated(durations: Sequence[float | None]) -> list[RatedRollout]:
    return [
        RatedRollout(
            episode=f"gate-{number:04d}",
            group=-1,
            duration_s=duration_s or 0.0,
            is_success=duration_s is not None,
        )
        for number, duration_s in enumerate(durations)
    ]
