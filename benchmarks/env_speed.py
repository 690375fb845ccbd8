"""How fast the gymnasium environment runs on one core, as multiples of real time. Prints JSON.

Time is the process's CPU time, so that other processes disturb less.

The free motion is slow and legal, so the gate passes every goal; the blocked one would bring the
gripper into the shoulder, so the gate leads at most ticks. Physics alone is the floor.

    python benchmarks/env_speed.py [--seconds 20] [--out FILE]
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from so101.arrays import FloatArray
from so101.clock import CONTROL_HZ, POLICY_HZ
from so101.robot import so101
from so101.simulation.env import So101PickEnv
from so101.simulation.tasks.pick import PickTask
from so101.simulation.world import World


def free(step: int) -> FloatArray:
    """Return a pose of a motion away from home and back [rad]. Shape (joints,)."""
    wave = 0.2 * (1.0 - np.cos(step / 15.0))
    return np.asarray(so101().home + wave * np.array([1.0, 0.3, -0.6, 0.3, 1.0, 0.0]))


def blocked(step: int) -> FloatArray:
    """Return a pose of a motion that the arm's own parts are in the way of [rad]."""
    wave = 0.2 * np.sin(step / 15.0)
    return np.asarray(so101().home + wave * np.array([1.0, 0.3, 0.3, 0.3, 1.0, 0.0]))


def speed(cameras: tuple[str, ...], motion: Callable[[int], FloatArray], seconds: float) -> float:
    """Return simulated seconds per CPU second over some time of a motion."""
    env = So101PickEnv(cameras=cameras, camera_size=(224, 224))
    env.reset(seed=0)
    steps, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        _, _, terminated, truncated, _ = env.step(motion(steps)[None])
        steps += 1
        if terminated or truncated:
            env.reset()
    elapsed = time.process_time() - began
    env.close()
    return steps / POLICY_HZ / elapsed


def physics_speed(seconds: float) -> float:
    """Return simulated seconds per CPU second of MuJoCo's steps alone."""
    world = World(cameras=())
    world.reset(PickTask().start(0))
    ticks, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        world.write_goal(free(ticks // 2))
        world.advance()
        ticks += 1
    return ticks / CONTROL_HZ / (time.process_time() - began)


def main() -> None:
    """Measure with and without cameras."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seconds = 3.0 if arguments.small else arguments.seconds
    result = {
        "two 224 px cameras": round(speed(("wrist", "front"), free, seconds), 1),
        "no cameras": round(speed((), free, seconds), 1),
        "no cameras, blocked": round(speed((), blocked, seconds), 1),
        "physics alone": round(physics_speed(seconds), 1),
    }
    print(json.dumps(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
