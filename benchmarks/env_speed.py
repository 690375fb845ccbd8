"""How fast the gymnasium environment runs on one core, as multiples of real time. Prints JSON.

python benchmarks/env_speed.py [--seconds 20]
"""

import argparse
import json
import time

import numpy as np

from so101.robot import so101
from so101.simulation.env import So101PickEnv


def speed(cameras: tuple[str, ...], seconds: float) -> float:
    """Return simulated seconds per second over some time of slow, legal motion."""
    env = So101PickEnv(cameras=cameras, camera_size=(224, 224))
    env.reset(seed=0)
    home = so101().home
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        wave = 0.2 * np.sin(steps / 15.0)
        action = home + wave * np.array([1.0, 0.3, 0.3, 0.3, 1.0, 0.0])
        _, _, terminated, truncated, _ = env.step(action[None].astype(np.float32))
        steps += 1
        if terminated or truncated:
            env.reset()
    elapsed = time.perf_counter() - began
    env.close()
    return steps / 30.0 / elapsed


def main() -> None:
    """Measure with and without cameras."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    result = {
        "two 224 px cameras": round(speed(("wrist", "front"), seconds), 1),
        "no cameras": round(speed((), seconds), 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
