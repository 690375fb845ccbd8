"""What recording costs: the writer against a bare MCAP writer, and the recorder node itself.

The writer: the same messages (two 640x480 JPEG streams at 30 Hz, two joint streams at 60 Hz) go
through `BagWriter` and through a bare ``mcap`` Writer without compression, in turn, each from the
first message to a file that is on the disk. The ratio of a round is that of its two durations.

The node: a process publishes the same streams in real time and the real recorder_node records
them over DDS. Counted are messages that are missing from the bag, the node's CPU time, and its
memory over time.

    python benchmarks/recording.py [--seconds 600] [--rounds 9] [--small] [--out FILE]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import CompressionType, Writer

from so101.clock import CONTROL_GRID, CONTROL_HZ, NS_PER_S
from so101.data.bag_writer import BagWriter
from so101.data.messages import create, definition, encode
from so101.images import encode_jpeg
from so101.robot import JOINTS
from so101.topics import JOINT_COMMANDS, JOINT_STATES, Topic, image_topic

CAMERAS = ("wrist", "front")
IMAGES = tuple(image_topic(camera) for camera in CAMERAS)
TOPICS = (JOINT_STATES, JOINT_COMMANDS, *IMAGES)
SIZE = (480, 640)
DISTINCT = 8


def header(stamp_ns: int) -> Any:
    """Return a header without a frame."""
    time_type = "builtin_interfaces/msg/Time"
    stamp = create(time_type, sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S)
    return create("std_msgs/msg/Header", stamp=stamp, frame_id="")


def joint_message(stamp_ns: int) -> bytes:
    """Return a serialized JointState of six joints."""
    values = np.full(len(JOINTS), 0.25)
    columns = {"position": values, "velocity": values, "effort": values}
    message = create(
        "sensor_msgs/msg/JointState", header=header(stamp_ns), name=list(JOINTS), **columns
    )
    return encode(message)


def jpegs() -> list[bytes]:
    """Return pictures with structure and a little noise, as large as a camera's."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    found = []
    for number in range(DISTINCT):
        waves = [
            np.sin((rows * a + columns * b + 40 * number) / 30)
            for a, b in rng.normal(0, 1, (3, 2))
        ]
        picture = 128 + 90 * np.stack(waves, axis=-1) + rng.normal(0, 6, (*SIZE, 3))
        found.append(encode_jpeg(picture.clip(0, 255).astype(np.uint8), 90))
    return found


def image_message(stamp_ns: int, jpeg: bytes) -> bytes:
    """Return a serialized CompressedImage."""
    data = np.frombuffer(jpeg, dtype=np.uint8)
    kind = "sensor_msgs/msg/CompressedImage"
    return encode(create(kind, header=header(stamp_ns), format="jpeg", data=data))


def stream(seconds: float) -> Iterator[tuple[Topic, bytes, int]]:
    """Yield topic, bytes and stamp of everything that arrives in some time."""
    pictures = jpegs()
    for tick in range(round(seconds * CONTROL_HZ)):
        stamp_ns = CONTROL_GRID.stamp(tick)
        yield JOINT_STATES, joint_message(stamp_ns), stamp_ns
        yield JOINT_COMMANDS, joint_message(stamp_ns), stamp_ns
        if tick % 2 == 0:
            for topic in IMAGES:
                yield topic, image_message(stamp_ns, pictures[tick // 2 % DISTINCT]), stamp_ns


def write_ours(directory: Path, messages: list[tuple[Topic, bytes, int]]) -> None:
    """Record with the recorder's writer: chunks, checksums, hash, metadata, all synced."""
    writer = BagWriter(directory, TOPICS, name="bench")
    for topic, data, stamp_ns in messages:
        writer.write(topic.name, data, stamp_ns, stamp_ns)
    writer.close({})


def write_bare(path: Path, messages: list[tuple[Topic, bytes, int]]) -> None:
    """Record with the library's writer as it comes, without compression, and sync the file."""
    with path.open("wb") as stream:
        writer = Writer(stream, compression=CompressionType.NONE)
        writer.start(profile="ros2", library="bench")
        channels = {}
        for topic in TOPICS:
            schema = writer.register_schema(
                topic.type, "ros2msg", definition(topic.type).text.encode()
            )
            channels[topic.name] = writer.register_channel(f"/{topic.name}", "cdr", schema)
        for number, (topic, data, stamp_ns) in enumerate(messages):
            writer.add_message(channels[topic.name], stamp_ns, data, stamp_ns, number)
        writer.finish()
        stream.flush()
        os.fsync(stream.fileno())


def compare_writers(seconds: float, rounds: int, root: Path) -> dict[str, Any]:
    """Return both durations of each round, and the median ratio of bare to ours."""
    messages = list(stream(seconds))
    rows = []
    for number in range(rounds):
        spent = {}
        names = ("ours", "bare") if number % 2 else ("bare", "ours")
        for name in names:
            path = root / f"{name}-{number}"
            began = time.perf_counter(), time.process_time()
            (write_ours if name == "ours" else write_bare)(path, messages)
            ended = time.perf_counter(), time.process_time()
            spent[name] = ended[0] - began[0]
            spent[f"{name} cpu"] = ended[1] - began[1]
        subprocess.run(["rm", "-rf", *map(str, root.iterdir())], check=True)
        rows.append(spent)
    ratio = statistics.median(row["bare"] / row["ours"] for row in rows)
    cpu = statistics.median(row["bare cpu"] / row["ours cpu"] for row in rows)
    size = sum(len(data) for _, data, _ in messages)
    return {
        "messages": len(messages),
        "megabytes": round(size / 1e6, 1),
        "megabytes_per_s": round(size / 1e6 / statistics.median(r["ours"] for r in rows), 1),
        "ratio": round(ratio, 3),
        "cpu_ratio": round(cpu, 3),
        "rows": rows,
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as d:
        r = compare_writers(20, 5, Path(d))
        print(json.dumps(r, indent=1))
