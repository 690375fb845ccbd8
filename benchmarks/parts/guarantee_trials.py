"""The trials of `benchmarks/guarantees.py`: what is done to the arm, and what is noted of it.

Each returns one row of plain numbers. Times are of the machine's monotonic clock, which the
twin's trace shares; goals and poses are the twin's, not what the driver says of itself.
"""

import json
import math
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from parts.guarantee_person import DisturbedError
from parts.guarantee_stage import Stage, commander
from parts.guarantee_trace import Motion
from parts.guarantee_wave import CHUNK_TICKS, OFF_WAVE_RAD

from so101.clock import CONTROL_GRID, CONTROL_HZ, nanoseconds

Row = dict[str, Any]

WATCH_S = 0.9
"""A stop is watched for so long; what stands then counts as standing."""

NEAR_RAD = math.radians(1.0)
"""An arm whose joints have no further to go is as good as there."""

DEATHS = ("SIGKILL", "SIGKILL", "SIGKILL", "SIGSTOP", "hang")
"""How a policy dies, in turn."""

LYING_RAD = 2e-3
"""A loose arm that sinks by no more than this within a second lies: contacts creep [rad]."""

SILENT_S = 0.4
POSES = ("rest", "home")
OTHERS = ("nobody", "teleop", "policy", "controller")
"""Who else commands, in turn, and on which topic."""

OFF_KEYS = {"policy": "off_same_rad", "controller": "off_bypass_rad"}
"""Names of what is found with those who are no other source of the arbiter."""

COMPARED_S = 4.0


def _ms(later_ns: int | None, earlier_ns: int) -> float:
    """Return a time [ms]; infinite when it never came."""
    return math.inf if later_ns is None else round((later_ns - earlier_ns) * 1e-6, 2)


def _wait_for_a_phase(stage: Stage, rng: np.random.Generator) -> None:
    """Wait for up to half a turn; the other half is its mirror image."""
    stage.person.spin(float(rng.uniform(0.0, 0.5 * stage.wave.period_ticks / CONTROL_HZ)))


def _of_a_stop(motion: Motion, begin_ns: int) -> Row:
    """Return when goals and arm stood, how fast the arm was, and how far it strayed after."""
    after = motion.since(begin_ns)
    still_ns = after.still_ns
    row = {
        "commanded_ms": _ms(after.commanded_still_ns, begin_ns),
        "measured_ms": _ms(still_ns, begin_ns),
        "speed": round(float(np.abs(after.velocities[0]).max()), 3),
    }
    near_ns = after.near_ns(NEAR_RAD)
    row["near_ms"] = _ms(near_ns, begin_ns)
    if still_ns is not None:
        held = after.since(still_ns).positions
        row["drift_deg"] = round(math.degrees(float(np.abs(held - held[0]).max())), 3)
    return row


def policy_death(stage: Stage, rng: np.random.Generator, trial: int) -> Row:
    """Let the policy die in the middle of a fast motion."""
    how = DEATHS[trial % len(DEATHS)]
    stage.move(trial)
    _wait_for_a_phase(stage, rng)
    person, policy = stage.person, stage.policy
    assert policy is not None
    assert policy.process.stdout is not None
    phase = CONTROL_GRID.floor(person.commands[-1][0]) % CHUNK_TICKS
    if how == "hang":
        policy.kill(signal.SIGUSR1)
        died_ns = int(policy.process.stdout.readline())
    else:
        died_ns = policy.kill(getattr(signal, how))
    person.spin(WATCH_S)
    person.undisturbed()
    row = {"how": how, "chunk_tick": phase, **_of_a_stop(stage.motion(died_ns), died_ns)}
    row["reason"] = person.controls[-1].reason if person.controls else ""
    stage.start_policy()
    return row


def estop(stage: Stage, rng: np.random.Generator, trial: int) -> Row:
    """Press the e-stop in the middle of a fast motion."""
    stage.move(trial)
    _wait_for_a_phase(stage, rng)
    person = stage.person
    heard = len(person.commands)
    asked_ns = time.monotonic_ns()
    answer = person.call("arm/estop", True)
    person.spin(WATCH_S)
    person.undisturbed()
    if not answer.done() or person.mode != "estopped":
        raise SystemExit(f"the e-stop was not heard; the arm is {person.mode!r}")
    motion = stage.motion(asked_ns)
    braking = next(
        one for at, one in person.commands[heard:] if stage.wave.off(at, one) > OFF_WAVE_RAD
    )
    begun_ns = motion.since(asked_ns).written_ns(stage.calibration.to_ticks(braking))
    return {"begins_ms": _ms(begun_ns, asked_ns), **_of_a_stop(motion, asked_ns)}


def driver_death(stage: Stage, rng: np.random.Generator, trial: int) -> Row:
    """Kill the driver in the middle of a fast motion; the servos go on to the last goal."""
    stage.move(trial)
    _wait_for_a_phase(stage, rng)
    stage.person.undisturbed()
    assert stage.driver is not None
    assert stage.twin is not None
    died_ns = stage.driver.kill()
    stage.person.spin(WATCH_S)
    motion = stage.motion(died_ns)
    pose, after = motion.pose_at(died_ns), motion.since(died_ns)
    left = np.abs(stage.goals_rad(after)[-1] - pose)
    is_held = all(json.loads(stage.twin.command("state"))["torque"])
    stage.end_driver()
    return {
        "goal_rad": round(float(left.max()), 4),
        "goals_rad": left.round(4).tolist(),
        "came_rad": round(float(np.abs(after.positions[-1] - pose).max()), 4),
        "last_goal_ms": _ms(after.commanded_still_ns, died_ns),
        "is_held": is_held,
        "speed": round(float(np.abs(after.velocities[0]).max()), 3),
    }


def bus_silent(stage: Stage, rng: np.random.Generator, trial: int) -> Row:
    """Let every servo fall silent in the middle of a fast motion."""
    stage.move(trial)
    _wait_for_a_phase(stage, rng)
    person = stage.person
    assert stage.twin is not None
    person.undisturbed()
    person.forget()
    begun_ns = time.monotonic_ns()
    stage.twin.command(f"silent {SILENT_S}")
    person.until(lambda: person.mode == "fault", "the silent bus is a fault")
    fault_ns = next(at for mode, at in person.modes if mode == "fault")
    person.spin(WATCH_S)
    motion = stage.motion(begun_ns)
    pose, after = motion.pose_at(begun_ns), motion.since(begun_ns)
    return {
        "fault_ms": _ms(fault_ns, begun_ns),
        "last_goal_ms": _ms(after.commanded_still_ns, begun_ns),
        "measured_ms": _ms(after.still_ns, begun_ns),
        "came_rad": round(float(np.abs(after.positions[-1] - pose).max()), 4),
    }


def start_up(stage: Stage, rng: np.random.Generator, trial: int) -> Row:
    """Start the driver while a policy commands, then switch the torque on; nobody arms it."""
    person = stage.person
    twin = stage.start_twin(POSES[trial % len(POSES)])
    if stage.policy is None:
        stage.start_policy()
    _wait_until_it_lies(stage)
    begun_ns = time.monotonic_ns()
    stage.start_driver()
    person.begin_episode(trial)
    person.spin(1.0 + float(rng.uniform(0.0, 1.0)))
    is_loose = not any(json.loads(twin.command("state"))["torque"])
    loose = twin.trace.since(begun_ns)
    held_ns = time.monotonic_ns()
    if not person.ask("arm/torque", True):
        raise DisturbedError
    person.spin(1.0)
    held = twin.trace.since(held_ns)
    pose, goals = held.positions[0], stage.goals_rad(held.told)
    has_policy = any(event.source.value == "policy" for event in person.controls)
    stage.end_arm()
    return {
        "is_loose": is_loose,
        "policy_has_control": has_policy,
        "moved_loose_rad": _way(loose),
        "moved_held_rad": _way(held),
        "goal_rad": round(float(np.abs(goals - pose).max()), 4),
        "mode": person.mode,
    }


def single_commander(stage: Stage, rng: np.random.Generator, trial: int) -> Row:
    """Let somebody else command the mirror image, and compare the arm with that of nobody else."""
    who = OTHERS[trial % len(OTHERS)]
    stage.move(trial)
    person = stage.person
    other = None if who == "nobody" else commander(stage.domain, who, "other")
    try:
        if other is not None and other.process.stdin is not None:
            other.process.stdin.close()
        person.spin(2.0)  # it comes up
        person.forget()
        person.spin(COMPARED_S + float(rng.uniform(0.0, 0.5)))
    finally:
        if other is not None:
            other.close()
    person.undisturbed()
    off = [stage.wave.off(*one) for one in person.commands]
    return {
        "other": who,
        OFF_KEYS.get(who, "off_rad"): round(max(off), 6),
        "off_share": round(float(np.mean(np.array(off) > OFF_WAVE_RAD)), 4),
        "changes": sorted({event.reason for event in person.controls[1:]}),
        "commands": len(off),
    }


def _way(motion: Motion) -> float:
    return round(float(np.ptp(motion.positions, axis=0).max()), 4)


def _wait_until_it_lies(stage: Stage) -> None:
    """Wait until a loose arm has come down."""
    end_s = time.monotonic() + 20.0
    assert stage.twin is not None
    while time.monotonic() < end_s:
        stage.person.spin(1.0)
        seen = stage.twin.trace.since(time.monotonic_ns() - nanoseconds(0.9))
        if len(seen.times_ns) and _way(seen) < LYING_RAD:  # a starved twin writes nothing
            return
    raise SystemExit("the loose arm does not come to lie")


TRIALS: dict[str, Callable[[Stage, np.random.Generator, int], Row]] = {
    "policy_death": policy_death,
    "estop": estop,
    "driver_death": driver_death,
    "bus_silent": bus_silent,
    "start_up": start_up,
    "single_commander": single_commander,
}
