"""How long it takes to open a dataset of so many episodes, with and without a cache. Writes JSON.

Each episode is 10 s of two cameras and six joints, as a bag of its own; the bags are in the
system's memory. Read: every bag is read and joined. First: the same, and what was found is kept in
the cache. Again: from the cache. Pictures stay in the bags.

    python benchmarks/opening.py [--episodes 10 100 1000] [--out FILE]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from parts.synthetic_bags import record

from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.images import encode_jpeg
from so101.robot import CAMERAS
from so101.spec import PolicySpec

SPEC = PolicySpec(cameras=CAMERAS, image_size=(96, 96))
STEPS = 300


def images(rng: np.random.Generator, steps: int) -> list[bytes]:
    """Return small pictures: how large they are does not matter, as they are not looked at."""
    blocks = rng.integers(0, 255, (steps, 6, 8, 3), dtype=np.uint8)
    return [encode_jpeg(cv2.resize(block, (64, 48))) for block in blocks]


def opened_s(store: EpisodeStore, config: DatasetConfig) -> float:
    """Return how long opening takes [s]."""
    began = time.perf_counter()
    data = EpisodeDataset.from_store(store, SPEC, config)
    elapsed = time.perf_counter() - began
    if data.skipped:
        raise SystemExit(f"skipped {data.skipped[0]}")
    return elapsed


def measure(root: Path, count: int, steps: int) -> dict[str, float]:
    """Return seconds of opening ``count`` episodes in each way."""
    for number in range(count):
        rng = np.random.default_rng([3, number])
        record(root / "bags", number, {camera: images(rng, steps) for camera in CAMERAS})
    store = EpisodeStore(root / "bags")
    cached = DatasetConfig(images="lazy", cache_dir=str(root / "cache"))
    return {
        "read": opened_s(store, DatasetConfig(images="lazy")),
        "first": opened_s(store, cached),
        "again": opened_s(store, cached),
    }


def main() -> None:
    """Measure every number of episodes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    counts = [4, 16] if arguments.small else arguments.episodes
    steps = 60 if arguments.small else STEPS
    result = {}
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="so101-opening-") as root:
            seconds = measure(Path(root), count, steps)
        result[str(count)] = {
            **{way: round(value, 4) for way, value in seconds.items()},
            **{f"{way}_ms_per_episode": round(1e3 * v / count, 2) for way, v in seconds.items()},
        }
    print(json.dumps(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
