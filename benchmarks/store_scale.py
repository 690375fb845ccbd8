"""What a store costs as it grows: opening, begin, find, label, verify. Prints JSON.

The same store grows from 10 to 10,000 episodes and is measured at every size, in one run. One
episode is recorded; the others are copies of its files with ids and names of their own in
metadata.yaml, so that a listing meets as many different bags. Times are wall time; ``cold`` is a
process of its own from its start to its end, imports included, ``imports`` the same without a
store. The page cache is warm.

    python benchmarks/store_scale.py [--small] [--out FILE]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from so101.data.bags.bag_writer import BagWriter
from so101.data.bags.custom_data import OUTCOME, facts_to_text
from so101.data.bags.messages import create, encode
from so101.data.labels.labels import FILE_NAME as LABELS_NAME
from so101.data.labels.labels import append_label
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import EpisodeFacts, Outcome
from so101.events import LabelEvent
from so101.robot import JOINTS
from so101.topics import JOINT_STATES, recorded_topics

FIRST = "demo-00000"
SIZES = (10, 100, 1000, 10_000)
REPEATS = 3
COLD = """
import sys
from pathlib import Path
from so101.data.stores.episode_store import EpisodeStore
if len(sys.argv) > 1:
    print(len(EpisodeStore(Path(sys.argv[1])).episodes()))
"""


def seconds(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Return the shortest of some durations [s]."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def directory_of(number: int) -> str:
    """Return the name of an episode's directory."""
    minutes, second = divmod(number, 60)
    return f"20260102-{minutes // 60:02d}{minutes % 60:02d}{second:02d}-demo-{number:05d}"


def record_first(root: Path) -> None:
    """Record the episode that all others are copies of: joints for 0.5 s and no camera."""
    facts = EpisodeFacts(id=FIRST, phase="demonstrations", source="teleop", task="pick")
    writer = BagWriter(root / directory_of(0), recorded_topics(("wrist", "front")), name=FIRST)
    for tick in range(30):
        state = create(
            JOINT_STATES.type,
            header=create("std_msgs/msg/Header", stamp=_stamp(tick), frame_id=""),
            name=list(JOINTS),
            **{key: np.zeros(len(JOINTS)) for key in ("position", "velocity", "effort")},
        )
        writer.write(JOINT_STATES.name, encode(state), tick, tick)
    writer.close({**facts_to_text(facts), OUTCOME: Outcome.SUCCESS.value})


def _stamp(tick: int) -> Any:
    return create("builtin_interfaces/msg/Time", sec=0, nanosec=tick)


def verify_speed(root: Path, megabytes: int) -> float:
    """Return how fast an episode of a known size is verified [MB/s]."""
    topics = recorded_topics(("wrist",))
    image = next(topic for topic in topics if topic.name.startswith("wrist"))
    writer = BagWriter(root / "big", topics, name="big")
    rng = np.random.default_rng(0)
    for number in range(megabytes * 20):
        writer.write(image.name, rng.bytes(50_000), number, number)
    path = writer.close({}).path
    size = sum(file.stat().st_size for file in path.iterdir())
    return size / 1e6 / seconds(EpisodeStore(path).verify, 1)


def grow(root: Path, count: int, size: int) -> None:
    """Add episodes to a store of ``count`` until it has ``size``."""
    first = root / directory_of(0)
    metadata = (first / "metadata.yaml").read_text(encoding="utf-8")
    for number in range(count, size):
        name = f"demo-{number:05d}"
        target = root / directory_of(number)
        target.mkdir()
        shutil.copyfile(first / f"{FIRST}_0.mcap", target / f"{name}_0.mcap")
        (target / "metadata.yaml").write_text(metadata.replace(FIRST, name), encoding="utf-8")


def label_all(root: Path, size: int) -> None:
    """Put a label beside every bag."""
    label = LabelEvent(stamp_ns=1, episode=FIRST, rater="ada", outcome="success")
    append_label(root / directory_of(0), label)
    for number in range(1, size):
        target = root / directory_of(number)
        shutil.copyfile(root / directory_of(0) / LABELS_NAME, target / LABELS_NAME)


def unlabel_all(root: Path, size: int) -> None:
    """Take all labels away."""
    for number in range(size):
        (root / directory_of(number) / LABELS_NAME).unlink(missing_ok=True)


def opened(root: Path) -> int:
    """Open a store as a program does that has not seen it; return the number of episodes."""
    return len(EpisodeStore(root).episodes())


def cold(*arguments: str) -> float:
    """Return the wall time of a process that lists a store, or only imports what lists one [s]."""
    command = [sys.executable, "-c", COLD, *arguments]
    return seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def begin_once(store: EpisodeStore) -> None:
    """Begin an episode and discard it."""
    store.begin(EpisodeFacts(id="new"), recorded_topics(()), "20270102-030405").discard()


def measure(root: Path, size: int) -> dict[str, float]:
    """Return seconds of everything at one size."""
    store = EpisodeStore(root, min_free_bytes=0)
    last = f"demo-{size - 1:05d}"
    found = {"open without index": seconds(lambda: opened(root), 1)}
    found["rebuild index"] = seconds(store.rebuild_index, 1)
    found["cold process"] = cold(str(root))
    found["open"] = seconds(lambda: opened(root))
    found["find"] = seconds(lambda: store.find(last))
    found["begin and discard"] = seconds(lambda: begin_once(store))
    label = LabelEvent(stamp_ns=1, episode=last, rater="ada", outcome="success")
    found["label"] = seconds(lambda: store.add_label(label))
    label_all(root, size)
    found["open, labels new to the index"] = seconds(lambda: opened(root), 1)
    store.rebuild_index()
    found["open, all labelled"] = seconds(lambda: opened(root))
    found["cold process, all labelled"] = cold(str(root))
    unlabel_all(root, size)
    store.close()
    return found


def main() -> None:
    """Measure every size and print what it costs, in seconds and per episode."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    sizes = SIZES[:2] if arguments.small else SIZES
    result: dict[str, Any] = {"seconds": {}, "microseconds per episode": {}}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "episodes"
        root.mkdir()
        record_first(root)
        result["imports"] = round(cold(), 3)
        count = 1
        for size in sizes:
            grow(root, count, size)
            count = size
            found = measure(root, size)
            result["seconds"][size] = {key: round(value, 5) for key, value in found.items()}
            result["microseconds per episode"][size] = {
                key: round(value / size * 1e6, 1) for key, value in found.items()
            }
            print(json.dumps({str(size): result["seconds"][size]}), file=sys.stderr, flush=True)
        result["verify MB/s"] = round(verify_speed(Path(folder), 10 if arguments.small else 200))
    print(json.dumps(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
