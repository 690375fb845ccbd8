"""Writes the golden bag and what its reader must find: ``python test/golden/make_golden.py``.

Run it only when the format of bags changes on purpose; the test exists to notice when it changes
by accident.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from factories import make_bag, make_rollout  # noqa: E402  (the path is set above)

from so101.data.episodes.episode_reader import read_episode  # noqa: E402
from so101.episode import Outcome  # noqa: E402


def main() -> None:
    """Write ``episode/``, ``expected.npz`` and ``expected.json`` beside this file."""
    shutil.rmtree(HERE / "episode", ignore_errors=True)
    cameras = ("front", "wrist")
    rollout = make_rollout(
        steps=40, seed=7, cameras=cameras, image_size=(12, 16), outcome=Outcome.SUCCESS
    )
    bag = make_bag(directory=HERE / "episode", rollout=rollout, cameras=cameras)
    episode = read_episode(bag)
    names = ("stamps_ns", "positions", "velocities", "effort", "commands", "actions")
    names += ("sources", "rewards", "terminated", "truncated", "objects")
    np.savez_compressed(
        HERE / "expected.npz",
        **{name: getattr(episode, name) for name in names},
        planned_stamps_ns=np.array(list(episode.planned)),
        planned=np.array(list(episode.planned.values())),
    )
    facts = {
        "id": episode.facts.id,
        "outcome": episode.outcome.value if episode.outcome else None,
        "images": [list(map(len, episode.images[camera])) for camera in sorted(cameras)],
    }
    (HERE / "expected.json").write_text(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
