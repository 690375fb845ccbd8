"""Loads a policy as the policy node does: does it fit this robot, and is it quick enough?"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from so101.errors import CheckpointError, ConfigError, So101Error
from so101.policies.checkpoints.canary import CanaryConfig, canary_observations, check_canary
from so101.policies.checkpoints.checkpoint import UNITS, load_policy, read_spec
from so101.policies.checkpoints.copy import find_checkpoint
from so101.policies.checkpoints.files import POLICY_FILE, verify
from so101.policies.checkpoints.json_file import read_json
from so101.policies.lerobot.files import is_lerobot
from so101.policies.policy import Policy
from so101_bringup.doctor.checkpoint import check_joints, check_units, check_views
from so101_bringup.doctor.finding import Finding
from so101_bringup.doctor.latency import check_latency, measure


def look_at_policy(named: Path, cameras: Sequence[str], *, is_real: bool) -> Iterator[Finding]:
    """Yield what is found about a checkpoint.

    Args:
        named: Its directory, or that of a run.
        cameras: Camera ids of the robot.
        is_real: It is no simulation.
    """
    try:
        path = find_checkpoint(named)
        checkpoint, spec = verify(path), read_spec(path)
        units = {} if is_lerobot(path) else read_json(path / POLICY_FILE)
    except So101Error as error:
        yield Finding("checkpoint", str(error), "take another one: so101 checkpoints list")
        return
    yield Finding("checkpoint", f"{path}, whole, {checkpoint.sha256[:12]}")
    if units:
        yield check_units(units.get("units"), UNITS)
    yield check_joints(spec)
    yield check_views(spec, cameras, is_real=is_real)
    try:
        policy = load_policy(path, spec.joints, spec.cameras)
    except (CheckpointError, ConfigError) as error:
        yield Finding("policy", str(error), "what is missing stands in the message")
        return
    yield _plans(policy, str(path))
    observations = canary_observations(spec, CanaryConfig())
    yield check_latency(measure(policy, observations, time.perf_counter), spec.action_space)


def _plans(policy: Policy, where: str) -> Finding:
    try:
        check_canary(policy, where=where)
    except So101Error as error:
        return Finding("policy", str(error), "do not let it drive; train it on")
    return Finding("policy", "what it plans is finite and within the joints' limits")
