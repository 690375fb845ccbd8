"""What recording costs: the writer against a bare MCAP writer, and the recorder node itself.

The writer: the same messages (two 640x480 JPEG streams at 30 Hz, two joint streams at 60 Hz) go
through `BagWriter` and through a bare ``mcap`` Writer without compression, in turn, each from the
first message to a file that is on the disk. The ratio of a round is that of its two durations.
`BagWriter` computes two checksums more (of the file and of its data section) in a second thread,
so a second core has to be free; ``ratio_same_checksums`` is that to a bare writer that has to
compute them too.

The node: a process publishes the same streams in real time and the real recorder_node records
them over DDS. Counted are messages that are missing from the bag, the node's CPU time between the
first and the last message, and its memory once a second.

    python benchmarks/recording.py [--seconds 600] [--rounds 9] [--small] [--out FILE]
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import struct
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
from so101.data.bags.bag import open_bag
from so101.data.bags.bag_writer import BagWriter
from so101.data.bags.messages import create, definition, encode
from so101.episode import EpisodeFacts, EpisodeState
from so101.events import EpisodeEvent, RewardEvent
from so101.images import encode_jpeg
from so101.robot import JOINTS
from so101.status_events import RecorderStatus
from so101.topics import (
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    RECORDER_STATUS,
    REWARD,
    Topic,
    image_topic,
)

CAMERAS = ("wrist", "front")
TOPICS = (JOINT_STATES, JOINT_COMMANDS, *(image_topic(camera) for camera in CAMERAS))
SIZE = (480, 640)
DISTINCT = 8


def stamped(message: bytearray, stamp_ns: int) -> bytes:
    """Return a serialized message with another header stamp [ns]."""
    struct.pack_into("<iI", message, 4, *divmod(stamp_ns, NS_PER_S))
    return bytes(message)


def _header() -> Any:
    stamp = create("builtin_interfaces/msg/Time", sec=0, nanosec=0)
    return create("std_msgs/msg/Header", stamp=stamp, frame_id="")


def _joints() -> bytearray:
    values = np.full(len(JOINTS), 0.25)
    columns = {"position": values, "velocity": values, "effort": values}
    kind = "sensor_msgs/msg/JointState"
    return bytearray(encode(create(kind, header=_header(), name=list(JOINTS), **columns)))


def _images() -> list[bytearray]:
    """Return frames with structure and a little noise, as large as a camera's."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    found = []
    for number in range(DISTINCT):
        slopes = rng.normal(0, 1, (3, 2))
        waves = [np.sin((rows * a + columns * b + 40 * number) / 30) for a, b in slopes]
        picture = 128 + 90 * np.stack(waves, axis=-1) + rng.normal(0, 6, (*SIZE, 3))
        jpeg = encode_jpeg(picture.clip(0, 255).astype(np.uint8), 90)
        data = np.frombuffer(jpeg, dtype=np.uint8)
        kind = "sensor_msgs/msg/CompressedImage"
        found.append(bytearray(encode(create(kind, header=_header(), format="jpeg", data=data))))
    return found


def messages(seconds: float, first: int = 0) -> Iterator[tuple[int, Topic, bytes, int]]:
    """Yield control tick from 0 on, topic, bytes and stamp of everything in some time.

    Args:
        seconds: Duration of the streams [s].
        first: Control tick of the first stamp.
    """
    joints, images = _joints(), _images()
    for tick in range(round(seconds * CONTROL_HZ) + 1):
        stamp_ns = CONTROL_GRID.stamp(first + tick)
        data = stamped(joints, stamp_ns)
        yield tick, JOINT_STATES, data, stamp_ns
        yield tick, JOINT_COMMANDS, data, stamp_ns
        if tick % 2 == 0:
            image = stamped(images[tick // 2 % DISTINCT], stamp_ns)
            for camera in CAMERAS:
                yield tick, image_topic(camera), image, stamp_ns


def write_ours(directory: Path, sent: list[tuple[Topic, bytes, int]]) -> None:
    """Record with the recorder's writer: chunks, checksums, hash, metadata, all synced."""
    writer = BagWriter(directory, TOPICS, name="bench")
    for topic, data, stamp_ns in sent:
        writer.write(topic.name, data, stamp_ns, stamp_ns)
    writer.close({})


def write_bare(path: Path, sent: list[tuple[Topic, bytes, int]], checks: bool = False) -> None:
    """Record with the library's writer as it comes, without compression, and sync the file.

    Args:
        path: The file.
        sent: Topic, bytes and stamp of each message.
        checks: Compute the same checksums as `BagWriter`.
    """
    with path.open("wb") as stream:
        writer = Writer(stream, compression=CompressionType.NONE, enable_data_crcs=checks)
        writer.start(profile="ros2", library="bench")
        channels = {}
        for topic in TOPICS:
            text = definition(topic.type).text.encode()
            schema = writer.register_schema(topic.type, "ros2msg", text)
            channels[topic.name] = writer.register_channel(f"/{topic.name}", "cdr", schema)
        for number, (topic, data, stamp_ns) in enumerate(sent):
            writer.add_message(channels[topic.name], stamp_ns, data, stamp_ns, number)
        writer.finish()
        stream.flush()
        os.fsync(stream.fileno())
    if checks:
        with path.open("rb") as stream:
            hashlib.file_digest(stream, "sha256")


WRITERS = {
    "ours": write_ours,
    "bare": write_bare,
    "bare, same checksums": lambda path, sent: write_bare(path, sent, checks=True),
}


def compare_writers(seconds: float, rounds: int, root: Path) -> dict[str, Any]:
    """Return the durations of each round, and the median ratios of the others' to ours [s]."""
    sent = [one[1:] for one in messages(seconds)]
    rows = []
    for number in range(rounds):
        spent = {}
        for name in list(WRITERS)[:: 1 if number % 2 else -1]:
            path = root / f"round-{number}-{name[-4:]}"
            began, began_cpu = time.perf_counter(), time.process_time()
            WRITERS[name](path, sent)
            spent[name] = time.perf_counter() - began
            spent[f"{name} cpu"] = time.process_time() - began_cpu
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        rows.append(spent)

    def ratio(name: str, suffix: str = "") -> float:
        return round(statistics.median(row[name] / row["ours" + suffix] for row in rows), 3)

    size = sum(len(data) for _, data, _ in sent)
    return {
        "megabytes": round(size / 1e6, 1),
        "megabytes_per_s": round(size / 1e6 / statistics.median(r["ours"] for r in rows), 1),
        "ratio": ratio("bare"),
        "ratio_same_checksums": ratio("bare, same checksums"),
        "cpu_ratio": ratio("bare cpu", " cpu"),
        "cpu_ratio_same_checksums": ratio("bare, same checksums cpu", " cpu"),
        "rows": rows,
    }


def publish(seconds: float) -> None:
    """Publish one episode in real time; print its begin, its end, and what the recorder says."""
    from rclpy.context import Context
    from rclpy.node import Node

    from so101.ros.endpoints import Endpoints
    from so101.ros.spin import Spinner, wait_for_matched

    context = Context()
    context.init(args=[])
    node = Node("recorded_streams", context=context, start_parameter_services=False)
    endpoints, spinner = Endpoints(node), Spinner(node)
    told: list[RecorderStatus] = []
    endpoints.hear(RECORDER_STATUS, RecorderStatus, told.append)
    endpoints.offer(*TOPICS, EPISODE, REWARD)
    own = {f"/{topic.name}" for topic in (*TOPICS, EPISODE, REWARD)}
    wait_for_matched(
        spinner,
        [one for one in node.publishers if one.topic_name in own],
        [one for one in node.subscriptions if one.topic_name == f"/{RECORDER_STATUS.name}"],
        timeout_s=60.0,
    )
    facts, first = EpisodeFacts(id="bench", source="none"), CONTROL_GRID.ceil(time.time_ns())
    stamp_ns = CONTROL_GRID.stamp(first)
    endpoints.tell(
        EPISODE, EpisodeEvent(stamp_ns=stamp_ns, state=EpisodeState.RUNNING, facts=facts)
    )
    print("begin", flush=True)
    counts = {topic.name: 0 for topic in TOPICS}
    began, newest = time.monotonic(), -1
    for tick, topic, data, stamp in messages(seconds, first):
        if tick != newest:
            newest, stamp_ns = tick, stamp
            time.sleep(max(0.0, began + tick / CONTROL_HZ - time.monotonic()))
        endpoints.publish(topic, data)
        counts[topic.name] += 1
    print("end", flush=True)
    reward = RewardEvent(stamp_ns=stamp_ns, reward=1.0, success_probability=1.0, terminated=True)
    endpoints.tell(REWARD, reward)
    endpoints.tell(
        EPISODE, EpisodeEvent(stamp_ns=stamp_ns, state=EpisodeState.SUCCEEDED, facts=facts)
    )
    spinner.spin_until(lambda: bool(told), 60.0)
    print(json.dumps({"counts": counts, "told": [vars(one) for one in told]}), flush=True)
    spinner.close()
    node.destroy_node()
    context.try_shutdown()


def _usage(pid: int) -> tuple[float, float]:
    """Return CPU time [s] and resident memory [MB] of a process."""
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = Path(f"/proc/{pid}/status").read_text()
    memory_kb = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"), int(memory_kb) / 1e3


def record_with_node(seconds: float, root: Path) -> dict[str, Any]:
    """Let the real node record the streams and return what that took."""
    parameters = [f"store:={root}", "has_objects:=false", "lockstep:=false", "min_free_gb:=0.1"]
    options = [text for value in parameters for text in ("-p", value)]
    environment = {
        **os.environ,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    recorder = subprocess.Popen(
        [sys.executable, "-m", "recorder_node.node", "--ros-args", *options], env=environment
    )
    publisher = subprocess.Popen(
        [sys.executable, __file__, "--publish", str(seconds)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert publisher.stdout is not None
    try:
        if publisher.stdout.readline() != "begin\n":
            raise SystemExit("nothing was published")
        began, (cpu_s, _) = time.monotonic(), _usage(recorder.pid)
        memory_mb = []
        while time.monotonic() - began < seconds:
            memory_mb.append(round(_usage(recorder.pid)[1], 1))
            time.sleep(min(1.0, max(0.05, began + seconds - time.monotonic())))
        publisher.stdout.readline()
        elapsed_s, used_s = time.monotonic() - began, _usage(recorder.pid)[0] - cpu_s
        result = json.loads(publisher.stdout.readline())
    finally:
        for process in (publisher, recorder):
            process.terminate()
            process.wait(30.0)
    return {
        **_check(result),
        "seconds": round(elapsed_s, 1),
        "cpu_percent_of_a_core": round(100 * used_s / elapsed_s, 2),
        "memory_mb": memory_mb[:: max(1, len(memory_mb) // 60)],
        "memory_growth_mb": round(memory_mb[-1] - memory_mb[len(memory_mb) // 4], 1),
    }


def _check(result: dict[str, Any]) -> dict[str, Any]:
    """Compare what was published with what is in the bag."""
    if not result["told"]:
        raise SystemExit("the recorder said nothing of the episode")
    status = result["told"][0]
    counts = open_bag(Path(status["path"])).counts() if status["path"] else {}
    dropped = {n: sent - counts.get(f"/{n}", 0) for n, sent in result["counts"].items()}
    told = {"state": status["state"], "reason": status["reason"], "counted": status["missing"]}
    return {"dropped": sum(dropped.values()), **told, "messages": sum(result["counts"].values())}


def main() -> None:
    """Measure both and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="the node records so long")
    parser.add_argument("--writer-seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--directory", type=Path, help="where to write; the temporary one")
    parser.add_argument("--publish", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.publish:
        publish(arguments.publish)
        return
    if arguments.small:
        arguments.seconds, arguments.writer_seconds, arguments.rounds = 8.0, 10.0, 3
    with tempfile.TemporaryDirectory(dir=arguments.directory) as root:
        result = {
            "writer": compare_writers(arguments.writer_seconds, arguments.rounds, Path(root)),
            "node": record_with_node(arguments.seconds, Path(root) / "store"),
        }
    print(json.dumps(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
