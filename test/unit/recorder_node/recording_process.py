"""Records episode after episode in real time until somebody ends it: DIR, then how.

Two cameras at 30 Hz and joints at 60 Hz. Says on stdout, before it goes on, what it began, handed
over (the stamp) and saved; so whoever kills it knows what has to be in the store.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
from factories import event_message, header, joint_message

from recorder_node.continuous_recorder import ContinuousRecorder
from recorder_node.episode_recorder import EpisodeRecorder
from recorder_node.recorder_setup import RecorderSetup
from so101.clock import CONTROL_GRID, NS_PER_S
from so101.data.bags.bag_writer import Split
from so101.data.bags.messages import create, encode
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import EpisodeFacts, EpisodeState
from so101.events import EpisodeEvent, RewardEvent
from so101.robot import JOINTS
from so101.topics import (
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    REWARD,
    image_topic,
    recorded_topics,
)

CAMERAS = ("wrist", "front")
TICKS = 54
PAUSE = 6
JPEG = np.frombuffer(np.random.default_rng(0).bytes(25_000), dtype=np.uint8)
SPLIT = Split(max_bytes=1_500_000, max_ns=60 * NS_PER_S)


def say(*words) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def make_recorder(store: EpisodeStore, kind: str):
    setup = RecorderSetup(
        topics=recorded_topics(CAMERAS),
        paced=(JOINT_STATES.name, JOINT_COMMANDS.name, REWARD.name),
    )
    clocks = {"wall_time": lambda: "20260101-120000", "steady_ns": time.monotonic_ns}
    if kind == "continuous":
        return ContinuousRecorder(store, setup, SPLIT, **clocks)
    return EpisodeRecorder(store, setup, **clocks)


def tell(recorder, state: EpisodeState, stamp_ns: int, number: int) -> None:
    facts = EpisodeFacts(id=f"demo-{number:04d}", phase="demonstrations", source="none")
    event = EpisodeEvent(stamp_ns=stamp_ns, state=state, facts=facts)
    lost = recorder.on_episode(event)
    assert lost is None, lost
    recorder.on_message(EPISODE, encode(event_message(event.to_event())), time.time_ns())


def hand_over(recorder, tick: int) -> None:
    stamp_ns, now_ns = CONTROL_GRID.stamp(tick), time.time_ns()
    joints = encode(joint_message(stamp_ns, np.full(len(JOINTS), 0.1)))
    recorder.on_message(JOINT_STATES, joints, now_ns)
    recorder.on_message(JOINT_COMMANDS, joints, now_ns)
    reward = RewardEvent(stamp_ns=stamp_ns, reward=0.0, success_probability=0.0, terminated=False)
    recorder.on_message(REWARD, encode(event_message(reward.to_event())), now_ns)
    if tick % 2 == 0:
        image = create(
            "sensor_msgs/msg/CompressedImage", header=header(stamp_ns), format="jpeg", data=JPEG
        )
        data = encode(image)
        for camera in CAMERAS:
            recorder.on_message(image_topic(camera), data, now_ns)


def main() -> None:
    store = EpisodeStore(Path(sys.argv[1]), min_free_bytes=0)
    recorder = make_recorder(store, sys.argv[2])
    say("ready")
    began = time.monotonic()
    tick = 0
    while True:
        number, place = divmod(tick, TICKS + PAUSE)
        stamp_ns = CONTROL_GRID.stamp(tick)
        if place == 0:
            say("begin", number, stamp_ns)
            tell(recorder, EpisodeState.RUNNING, stamp_ns, number)
        if place == TICKS:
            tell(recorder, EpisodeState.SUCCEEDED, stamp_ns, number)
        hand_over(recorder, tick)
        if place <= TICKS:
            say("stamp", number, stamp_ns)
        while (status := recorder.poll()) is not None:
            say(status.state, status.episode, status.messages, status.missing)
        tick += 1
        time.sleep(max(0.0, began + tick / 60 - time.monotonic()))


if __name__ == "__main__":
    main()
