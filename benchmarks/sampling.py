"""How fast random training samples come out of bags. Writes JSON.

A sample is two 640x480 cameras brought to 224x224 and a chunk of 16 actions, at a random step.
Side by side in one run, in turn, each in one process with one thread:

- bare: JPEG decode at the same reduced scale and the same resize, in a plain loop, the bytes in
  memory: nothing can be faster that decodes;
- lazy: `EpisodeDataset` decoding from the bags, batches of 32; one by one; through torch's
  DataLoader in the same process and with two worker processes;
- cache: `EpisodeDataset` with the memory-mapped cache;
- lerobot: LeRobotDataset v3 in video mode (AV1, pyav) made from the same frames, with
  delta_timestamps for the 16 actions and torchvision's resize to 224x224 as its image transform;
  and without the resize, named by what it returns.

Speeds are samples per second of CPU time, which other processes disturb less; those with workers
and those named cold are of wall-clock time. Cold: the pages of the bags were dropped from the
system's memory, so that every image comes from the disk; the bare loop then reads its bytes from
the same dropped files. The caches of the disk itself are out of reach.

LeRobot is skipped by name unless it is installed here or ``--lerobot`` names a Python that has it.

    python benchmarks/sampling.py [--episodes 20] [--rounds 5] [--lerobot PYTHON] [--out FILE]
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from parts.lerobot_peer import Peer
from parts.synthetic_bags import record, scenes
from torch.utils.data import DataLoader

from so101.data.mapped_file import close_maps
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.data.training.trimming import TrimConfig
from so101.robot import CAMERAS
from so101.spec import PolicySpec

SIZE, BATCH = (224, 224), 32
SPEC = PolicySpec(cameras=CAMERAS, image_size=SIZE)


class Bare:
    """JPEG decode and resize in a plain loop, without anything around it."""

    def __init__(self, places: Sequence[tuple[Path, int, int]]) -> None:
        """Take the images of one camera by step: file, offset, length."""
        self._places = places
        self._files = {path: os.open(path, os.O_RDONLY) for path, _, _ in places}
        self.held = [self._read(step) for step in range(len(places))]

    def _read(self, step: int) -> bytes:
        path, offset, length = self._places[step]
        return os.pread(self._files[path], length, offset)

    def run(self, step: int, *, is_cold: bool) -> None:
        """Decode the image of a step."""
        data = self._read(step) if is_cold else self.held[step]
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
        cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)


def hand_over(data: EpisodeDataset, bare: dict[str, Bare], root: Path, limit: int) -> None:
    """Write frames for LeRobot: some episodes, their very images."""
    for number in range(min(limit, len(data.episodes))):
        steps = np.flatnonzero(data.episode_of(np.arange(len(data))) == number)
        batch = data.chunks_at(steps)
        images: dict[str, Any] = {}
        for camera, source in bare.items():
            rows = [np.frombuffer(source.held[step], np.uint8) for step in steps.tolist()]
            images[camera] = np.zeros((len(rows), max(map(len, rows))), np.uint8)
            for row, image in enumerate(rows):
                images[camera][row, : len(image)] = image  # a JPEG ends where it says
        positions = batch.observation.positions
        np.savez(
            root / f"{number}.npz", positions=positions, actions=batch.actions[:, 0], **images
        )


def places(data: EpisodeDataset, camera: str) -> list[tuple[Path, int, int]]:
    """Return where the image of every step lies."""
    frames = data.frames[camera]
    found = []
    for owner, row in zip(frames.owners.tolist(), frames.rows.tolist(), strict=True):
        jpegs = frames.sources[owner].jpegs  # type: ignore[attr-defined]
        file = jpegs.files[jpegs.owners[row]]
        found.append((Path(file.path), int(jpegs.offsets[row]), int(jpegs.lengths[row])))
    return found


def drop(root: Path) -> None:
    """Let the system forget the pages of every bag."""
    close_maps()
    for path in root.glob("*/*.mcap"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


class Contest:
    """The contenders that run in this process, each a way to go through some steps."""

    def __init__(self, root: Path, cache: Path, rng: np.random.Generator) -> None:
        """Open the bags in every way."""
        trim = TrimConfig(mode="off")
        store = EpisodeStore(root)
        self._root, self._rng = root, rng
        lazy = DatasetConfig(trim=trim, images="lazy")
        cached = DatasetConfig(trim=trim, images="cache", cache_dir=str(cache))
        self.lazy = EpisodeDataset.from_store(store, SPEC, lazy)
        self.cached = EpisodeDataset.from_store(store, SPEC, cached)
        self.bare = {camera: Bare(places(self.lazy, camera)) for camera in CAMERAS}

    def measure(self, count: int) -> dict[str, float]:
        """Return samples per second of every contender, one after the other."""
        cpu, wall = time.process_time, time.perf_counter
        timed: dict[str, tuple[Callable[[], float], Callable[[Any], None], int]] = {
            "bare": (cpu, self._bare, 1),
            "lazy": (cpu, self._batches(self.lazy), 1),
            "bare again": (cpu, self._bare, 1),
            "lazy one by one": (cpu, self._singly, 1),
            "lazy, DataLoader": (cpu, self._loader(0), 1),
            "lazy, DataLoader, 2 workers": (wall, self._loader(2), 1),
            "cache": (cpu, self._batches(self.cached), 10),
            "bare, cold": (wall, self._bare_cold, 1),
            "lazy, cold": (wall, self._batches(self.lazy), 1),
        }
        speeds = {}
        for name, (clock, run, factor) in timed.items():
            steps = self._rng.integers(0, len(self.lazy), count * factor)
            if name.endswith("cold"):
                steps = self._rng.permutation(len(self.lazy))[:count]
                drop(self._root)
            began = clock()
            run(steps)
            speeds[name] = len(steps) / (clock() - began)
        return speeds

    def _bare(self, steps: Any) -> None:
        for step in steps.tolist():
            for source in self.bare.values():
                source.run(step, is_cold=False)

    def _bare_cold(self, steps: Any) -> None:
        for step in steps.tolist():
            for source in self.bare.values():
                source.run(step, is_cold=True)

    def _singly(self, steps: Any) -> None:
        for step in steps.tolist():
            self.lazy[step]

    def _batches(self, data: EpisodeDataset) -> Callable[[Any], None]:
        def run(steps: Any) -> None:
            for at in range(0, len(steps), BATCH):
                data[steps[at : at + BATCH]]

        return run

    def _loader(self, workers: int) -> Callable[[Any], None]:
        """Return a run through a DataLoader whose workers are already there."""
        batches: list[Any] = [np.arange(BATCH)] * max(2 * workers, 1)
        loader = DataLoader(
            self.lazy,
            sampler=batches,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
        )

        def run(steps: Any) -> None:
            batches[:] = [steps[at : at + BATCH] for at in range(0, len(steps), BATCH)]
            for _ in loader:
                pass

        for _ in loader:
            pass
        return run


def compare(arguments: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Record, open in every way, and measure in turn."""
    bags, cache, frames = root / "bags", root / "cache", root / "frames"
    for directory in (bags, frames):
        directory.mkdir()
    for number in range(arguments.episodes):
        rng = np.random.default_rng([7, number])
        record(bags, number, {c: scenes(rng, arguments.steps) for c in CAMERAS})
    contest = Contest(bags, cache, np.random.default_rng(1))
    peer = None
    if arguments.lerobot:
        hand_over(contest.lazy, contest.bare, frames, arguments.lerobot_episodes)
        peer = Peer(arguments.lerobot, frames)
    rounds = []
    for number in range(arguments.rounds):
        found = contest.measure(arguments.samples)
        if peer is not None:
            drawn = arguments.lerobot_samples
            found["lerobot"] = peer.speed(drawn, number, is_resized=True)
            found["lerobot, 640x480"] = peer.speed(drawn, number, is_resized=False)
        rounds.append(found)
    if peer is not None:
        peer.close()
    median = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    image_bytes = [length for c in CAMERAS for _, _, length in places(contest.lazy, c)]
    return {
        "samples_per_s": {name: round(speed, 1) for name, speed in median.items()},
        "lazy_over_bare": ratio(rounds, "lazy", "bare"),
        "lazy_over_bare_cold": ratio(rounds, "lazy, cold", "bare, cold"),
        "lazy_over_lerobot": ratio(rounds, "lazy", "lerobot"),
        "lazy_over_lerobot_640x480": ratio(rounds, "lazy", "lerobot, 640x480"),
        "cache_over_lerobot": ratio(rounds, "cache", "lerobot"),
        "lerobot": "measured" if peer is not None else "skipped: not installed",
        "steps": len(contest.lazy),
        "jpeg_kb": round(statistics.mean(image_bytes) / 1e3, 1),
        "rounds": rounds,
    }


def ratio(rounds: Sequence[dict[str, float]], one: str, other: str) -> float | None:
    """Return the median over the rounds of how many times faster one is than another."""
    if other not in rounds[0]:
        return None
    return round(statistics.median(found[one] / found[other] for found in rounds), 3)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--steps", type=int, default=300, help="ticks per episode")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=960, help="per contender and round")
    parser.add_argument("--lerobot-samples", type=int, default=60)
    parser.add_argument("--lerobot-episodes", type=int, default=5)
    parser.add_argument("--lerobot", default="", help="Python that has LeRobot")
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.small:
        arguments.episodes, arguments.steps, arguments.rounds = 3, 60, 2
        arguments.samples, arguments.lerobot_samples, arguments.lerobot_episodes = 160, 12, 1
    if not arguments.lerobot and importlib.util.find_spec("lerobot") is not None:
        arguments.lerobot = sys.executable
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="so101-sampling-") as root:
        result = compare(arguments, Path(root))
    print(json.dumps(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
