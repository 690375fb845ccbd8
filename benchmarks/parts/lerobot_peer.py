"""LeRobotDataset v3 made from given frames and drawn from, in a process of its own.

    python lerobot_peer.py DIRECTORY

One line on standard input per measurement: COUNT SEED IS_RESIZED.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

FPS = 30


class Peer:
    """LeRobotDataset in a process of its own, told through a pipe how much to draw."""

    def __init__(self, python: str, root: Path) -> None:
        """Start it; it first makes its dataset from the frames in ``root``."""
        self._process = subprocess.Popen(
            [python, __file__, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._answer()

    def speed(self, count: int, seed: int, *, is_resized: bool) -> float:
        """Return samples per CPU second, of images resized or as they are."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count} {seed} {int(is_resized)}\n")
        self._process.stdin.flush()
        return float(self._answer()["speed"])

    def close(self) -> None:
        """Stop it."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # libraries print, too
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise SystemExit("the LeRobot process ended before it was asked to")


def serve_lerobot(root: Path) -> None:
    """Make a LeRobotDataset from frames and draw from it as often as asked on standard input."""
    import torchvision
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    torch.set_num_threads(1)
    files = sorted(root.glob("*.npz"))
    with np.load(files[0]) as columns:
        joints = columns["positions"].shape[1]
        cameras = sorted(set(columns) - {"positions", "actions"})
        shape = cv2.imdecode(columns[cameras[0]][0], cv2.IMREAD_COLOR).shape
    names = [f"joint_{number}" for number in range(joints)]
    numbers = {"dtype": "float32", "shape": (joints,), "names": names}
    video = {"dtype": "video", "shape": shape, "names": ["height", "width", "channel"]}
    features = {"observation.state": numbers, "action": numbers}
    features |= {f"observation.images.{camera}": video for camera in cameras}
    made = LeRobotDataset.create(
        "bench/bench", FPS, features, root=root / "lerobot", use_videos=True
    )
    for path in files:
        with np.load(path) as columns:
            states, actions = columns["positions"], columns["actions"]
            images = {camera: columns[camera] for camera in cameras}
        for step in range(len(states)):
            frame: dict[str, Any] = {"observation.state": states[step], "action": actions[step]}
            for camera in cameras:
                picture = cv2.imdecode(images[camera][step], cv2.IMREAD_COLOR)
                frame[f"observation.images.{camera}"] = picture[:, :, ::-1]
            made.add_frame({**frame, "task": "bench"})
        made.save_episode()
    made.finalize()
    chunk = {"action": [k / FPS for k in range(16)]}
    options = {"root": root / "lerobot", "delta_timestamps": chunk, "video_backend": "pyav"}
    resize = torchvision.transforms.v2.Resize((224, 224))
    kinds = [
        LeRobotDataset("bench/bench", **options),
        LeRobotDataset("bench/bench", image_transforms=resize, **options),
    ]
    print(json.dumps({"frames": len(kinds[0])}), flush=True)
    for line in sys.stdin:
        count, seed, kind = map(int, line.split())
        data = kinds[kind]
        steps = np.random.default_rng(seed).integers(0, len(data), count).tolist()
        began = time.process_time()
        for step in steps:
            data[step]
        print(json.dumps({"speed": count / (time.process_time() - began)}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    cv2.setNumThreads(1)
    serve_lerobot(parser.parse_args().directory)
