"""What `benchmarks/loop_overhead.py` measures, what its processes note, and what that amounts to.

Moments are of the system clock, which all processes share.
"""

import functools
import json
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from so101.robot import CAMERAS
from so101.topics import (
    ARM_TRAJECTORY,
    JOINT_COMMANDS,
    JOINT_STATES,
    POLICY_TRAJECTORY,
    image_topic,
)

ROLES = ("listen", "arbitrate", "act", "play")
"""Processes of a round, in the order in which they are started."""

STREAMS = (JOINT_STATES, JOINT_COMMANDS, *(image_topic(camera) for camera in CAMERAS))


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one round measures.

    Attributes:
        seconds: Duration of the streams [s].
        decision_ticks: Policy ticks from one decision to the next.
        waits_for_frames: A decision waits for the frames of its own tick, which come last, as in
            lock-step; else it is due with the joint states, as on a robot.
        is_bare: Plain rclpy on the same topics instead of the nodes.
        checkpoint: Directory of the policy that is replaced by one that holds.
    """

    seconds: float
    decision_ticks: int
    waits_for_frames: bool
    is_bare: bool
    checkpoint: str


class Notes:
    """What a process saw, in lists by name; written when it ends."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.rows: dict[str, list[Any]] = {}

    def add(self, name: str, *values: Any) -> None:
        """Note something."""
        self.rows.setdefault(name, []).append(values)

    def hear(self, node: Any, only: tuple[str, ...]) -> None:
        """Note stamp, and begin and end of the callback, of some topics' messages [ns]."""
        create = node.create_subscription

        @functools.wraps(create)
        def listening(kind: Any, topic: str, callback: Any, *args: Any, **options: Any) -> Any:
            if topic not in only:
                return create(kind, topic, callback, *args, **options)

            def noted(message: Any) -> None:
                entered = time.time_ns()
                callback(message)
                self.add("heard", topic, stamp_of(message), entered, time.time_ns())

            return create(kind, topic, noted, *args, **options)

        node.create_subscription = listening


def stamp_of(message: Any) -> int:
    """Return the header stamp of a message, or of its bytes [ns]."""
    if isinstance(message, bytes):
        sec, nanosec = struct.unpack_from("<iI", message, 4)
        return int(sec) * 10**9 + int(nanosec)
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def command_of(name: str, setting: Setting, out: Path) -> list[str]:
    """Return the command line of a process."""
    script = str(Path(__file__).parents[1] / "loop_overhead.py")
    return [sys.executable, script, "--role", name, json.dumps(asdict(setting)), str(out)]


def _busy(heard: list[Any], begin_ns: int, end_ns: int) -> int:
    """Return for how long a process ran callbacks in some time [ns]."""
    spans = [(max(begin_ns, one[2]), min(end_ns, one[3])) for one in heard]
    return sum(end - begin for begin, end in spans if begin < end)


def decisions(rows: dict[str, dict[str, list[Any]]], setting: Setting) -> Iterator[dict[str, int]]:
    """Yield the moments of every decision that reached the controller [ns].

    Args:
        rows: Notes by process.
        setting: What was measured.
    """
    sent = {(topic, stamp): before for topic, stamp, before, _ in rows["play"]["sent"]}
    heard = {
        role: {(topic, stamp): tuple(times) for topic, stamp, *times in notes.get("heard", [])}
        for role, notes in rows.items()
    }
    if setting.is_bare:
        frames = [image_topic(camera).name for camera in CAMERAS]
        names = [JOINT_STATES.name, *(frames if setting.waits_for_frames else ())]
        for (topic, stamp_ns), (entered, _) in heard["listen"].items():
            if topic == ARM_TRAJECTORY.name:
                last = max(sent[name, stamp_ns] for name in names)
                yield {"stamp": stamp_ns, "published": last, "controller": entered}
        return
    inferred = {stamp: times for stamp, *times in rows["act"]["inferred"]}
    told = {role: {stamp: t for stamp, *t in rows[role]["told"]} for role in ("act", "arbitrate")}
    for stamp_ns, joined, used in rows["act"]["joined"]:
        name, stamp = max(used.items(), key=lambda one: sent.get(one, 0))
        entered, _ = heard["act"][name, stamp]
        at_arbiter = heard["arbitrate"].get((POLICY_TRAJECTORY.name, stamp_ns))
        at_controller = heard["listen"].get((ARM_TRAJECTORY.name, stamp_ns))
        if at_arbiter is None or at_controller is None or stamp_ns not in inferred:
            yield {"stamp": stamp_ns}
            continue
        began, decoded, planned = inferred[stamp_ns]
        yield {
            "stamp": stamp_ns,
            "published": sent[name, stamp],
            "entered": entered,
            "joined": joined,
            "began": began,
            "decoded": decoded,
            "planned": planned,
            "told": told["act"][stamp_ns][0],
            "arbiter entered": at_arbiter[0],
            "arbiter told": told["arbitrate"][stamp_ns][0],
            "controller": at_controller[0],
            "busy": _busy(rows["act"]["heard"], sent[name, stamp], entered),
        }
