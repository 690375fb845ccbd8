"""A person takes the arm from the policy in mid-chunk by gamepad, loses the pad, and gives back.

The gamepad is a named pipe that carries the kernel's bytes; everything behind it is the graph.
"""

import os
import struct

import numpy as np
import pytest
from contracts.policy_factories import make_policy
from integration import graphs
from integration.conftest import SEED, START
from integration.watching import Watch

from so101.clock import nanoseconds, seconds
from so101.data.bags.bag import open_bag
from so101.data.bags.messages import decode
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101.events import ControlEvent, from_message
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.topics import CONTROL_SOURCE

BUTTON, AXIS, INITIAL = 1, 2, 0x80
BUTTONS, AXES = 11, 8
DEAD_MAN, RELEASE, TAKE_OVER, AWAY, UP = 4, 6, 7, 1, 4
"""Numbers of an xbox pad."""

HOLD_S = 0.15
"""From the loss of the pad to the hold, on a machine that has time [s]."""

SILENCE_S = 0.8
"""Longer than a busy machine holds up a node that is alive [s]."""

EDGE_S = 0.15
"""So long a takeover is looked at for a jump [s]."""


class Pad:
    """A gamepad at the other end of a named pipe."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        self.plug_in()

    def plug_in(self, *held, pushed=()):
        """Say the state in the beginning, as the kernel does when it is opened."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        for number in range(BUTTONS):
            self._send(int(number in held), BUTTON | INITIAL, number)
        for number in range(AXES):
            self._send(-32767 * (number in pushed), AXIS | INITIAL, number)

    def pull_out(self):
        os.close(self._descriptor)

    def press(self, number, is_pressed=True):
        self._send(int(is_pressed), BUTTON, number)

    def push(self, number, share):
        """Push a stick; up is positive, which the kernel has the other way round."""
        self._send(round(-32767 * share), AXIS, number)

    def click(self, number):
        self.press(number)
        self.press(number, is_pressed=False)

    def _send(self, value, kind, number):
        os.write(self._descriptor, struct.pack("<IhBB", 0, value, kind, number))


@pytest.mark.case(17, 22, 25)
def test_takeover_in_mid_chunk_loss_of_the_pad_and_return(tmp_path, monkeypatch):
    """One long story, because every graph takes seconds to start."""
    store, pad = tmp_path / "run", Pad(tmp_path / "js0")
    made = save_checkpoint(
        tmp_path, "made", make_policy(), TrainingRecord(algorithm="sft", step=0)
    )
    options = {
        "seed": SEED,
        "start": START,
        "teleop": "gamepad",
        "checkpoint": str(made.path),
        "params_file": graphs.write_params(
            tmp_path / "params.yaml",
            teleop_node={"pad": {"path": str(pad.path)}},
            intervention_node={"alive_timeout": SILENCE_S},
            reward_node={"time_limit": 600.0},
        ),
    }
    with graphs.running("up", store, **options) as graph:
        graphs.wait_until(lambda: graph.pids("policy_node.node") != [])
        watch = Watch(graph.domain, monkeypatch)
        watch.start_episode()
        watch.until_control(ControlSource.POLICY)
        watch.pause(1.0)
        lead(watch, pad)
        lose_the_pad(watch, pad)
        give_back(watch, pad)
        assert watch.client.call("episode/success") == "success"
        watch.until(lambda: watch.episode.state.is_end)
        take_over_from_the_dead(graph, watch, pad)
        watch.close()
        assert graph.interrupt() < 5.0
    check_bag(store)


def lead(watch, pad):
    """Take the arm in the middle of a chunk; the tool goes where the stick points."""
    pad.click(TAKE_OVER)
    begun = watch.until_control(ControlSource.HOLD, "takeover: waiting for gamepad")
    assert begun.is_taken_over
    watch.pause(0.3)
    stands_at = watch.commands[-1]
    pad.push(UP, 1.0)
    watch.pause(0.3)  # without the dead man's button
    np.testing.assert_allclose(watch.commands[-1], stands_at, atol=1e-5)
    pad.press(DEAD_MAN)
    acting = watch.until_control(ControlSource.TELEOP)
    assert (acting.device, acting.is_taken_over) == ("gamepad", True)
    watch.until_tool(2, 0.02)
    pad.push(UP, 0.0)
    pad.push(AWAY, 1.0)
    watch.until_tool(0, 0.01)


def lose_the_pad(watch, pad):
    """It is pulled out with its stick pushed: the arm holds, and the policy does not get it."""
    lost_ns = watch.stamps[-1]
    pad.pull_out()
    held = watch.until_control(ControlSource.HOLD, "js0: gone")
    assert held.is_taken_over
    watch.pause(0.5)
    print(f"pad lost to hold: {seconds(held.stamp_ns - lost_ns):.3f} s of the arm's time")
    assert held.stamp_ns - lost_ns < nanoseconds(HOLD_S) + nanoseconds(0.5)  # a busy machine
    resting = np.array(watch.commands[-10:])
    np.testing.assert_allclose(resting, resting[:1].repeat(10, 0), atol=1e-6)
    pad.plug_in(DEAD_MAN, pushed=(AWAY,))  # held all along
    watch.pause(1.0)
    assert watch.changes[-1] == held
    pad.press(DEAD_MAN, is_pressed=False)
    watch.pause(0.1)
    pad.press(DEAD_MAN)
    watch.until_control(ControlSource.TELEOP)
    watch.until_tool(0, 0.01)


def give_back(watch, pad):
    """The policy returns with what it plans from then on."""
    pad.click(RELEASE)
    released = watch.until_control(ControlSource.HOLD, "released")
    assert not released.is_taken_over
    assert watch.until_control(ControlSource.POLICY).stamp_ns >= released.stamp_ns
    pad.press(DEAD_MAN, is_pressed=False)
    watch.pause(0.5)
    assert_no_jump(watch)


def assert_no_jump(watch):
    """When the person gets the arm, no joint of it moves more than 0.02 rad in a tick."""
    stamps, commands = np.array(watch.stamps), np.array(watch.commands)
    steps = np.abs(np.diff(commands, axis=0)).max(axis=1)
    begins = [c.stamp_ns for c in watch.changes if c.source is ControlSource.TELEOP]
    assert len(begins) == 2
    for begin_ns in begins:
        soon = (stamps[1:] > begin_ns) & (stamps[1:] <= begin_ns + nanoseconds(EDGE_S))
        print(f"largest step after the takeover: {steps[soon].max():.4f} rad")
        assert soon.sum() >= 5 and steps[soon].max() <= 0.02


def take_over_from_the_dead(graph, watch, pad):
    """With the process that learns or infers killed, the person takes the arm all the same."""
    graph.kill("policy_node.node")
    pad.push(AWAY, -1.0)
    pad.click(TAKE_OVER)
    watch.until_control(ControlSource.HOLD, "takeover")
    pad.press(DEAD_MAN)
    watch.until_control(ControlSource.TELEOP)
    begin = watch.tool
    watch.until(lambda: watch.tool[0] < begin[0] - 0.01)


def check_bag(store):
    """Who led when, and why it began and ended, is in the episode."""
    (episode,) = graphs.episodes_of(store).values()
    assert episode.outcome is Outcome.SUCCESS
    assert len(list(episode.interventions())) == 2
    teleop = episode.sources == SOURCE_CODES[ControlSource.TELEOP]
    wished = episode.wishes[teleop]
    wished = wished[np.isfinite(wished).all(axis=1)]
    assert len(wished) > 10
    (path,) = (store / "episodes").glob("*/*.mcap")
    messages = open_bag(path.parent).messages([f"/{CONTROL_SOURCE.name}"])
    events = [from_message(decode(m.data, CONTROL_SOURCE.type, str(path))) for m in messages]
    reasons = [ControlEvent.from_event(event).reason for event in events]
    assert any(reason == "takeover: waiting for gamepad" for reason in reasons)
    assert any("js0: gone" in reason for reason in reasons)
    assert "released" in reasons
