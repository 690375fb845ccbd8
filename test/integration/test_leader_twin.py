"""A leader arm takes over: a servo twin, read and driven as teleop_node does it, in real time.

It is driven to the follower, let go by hand and followed; its port is lost and it is found again.
"""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from integration import graphs

from so101.clock import CONTROL_GRID, CONTROL_HZ
from so101.robot import JOINTS, so101
from teleop_node.guide import ArmNow
from teleop_node.hand import make_hand, open_leader
from teleop_node.leader_guide import Phase
from teleop_node.params import LeaderParams, TeleopParams

SPEC = so101()
PATIENCE_TICKS = 60 * 60


class Twin:
    """Two arms on pseudo-terminals, and hands that move the leader."""

    def __init__(self, directory):
        self.leader = directory / "leader"
        self.calibration = directory / "calibration.json"
        verb = [sys.executable, "-m", "so101_bringup.cli", "servo-twin"]
        files = ["--leader-link", str(self.leader), "--calibration", str(self.calibration)]
        self._process = subprocess.Popen(
            [*verb, *files],
            cwd=graphs.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        while "ready" not in self._process.stdout.readline():
            assert self._process.poll() is None

    def ask(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        while not (answer := self._process.stdout.readline()).startswith(("ok", "error")):
            assert answer
        assert answer.startswith("ok"), answer
        return answer.removeprefix("ok").strip()

    def positions(self, arm="leader"):
        return np.array(json.loads(self.ask(f"{arm} state"))["positions"])

    def grasp(self):
        """Hold every joint of the leader where it is."""
        for joint, at in zip(JOINTS, self.positions(), strict=True):
            self.ask(f"leader hand {joint} {at}")

    def end(self):
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait(10.0)
        self._process.stdout.close()


class Follower:
    """A follower that does at once what the guide wants, 60 times a second."""

    def __init__(self, hand):
        self.hand, self.command, self.tick = (
            hand,
            SPEC.home,
            CONTROL_GRID.ceil(time.monotonic_ns()),
        )
        self.may_act, self.has_control = False, False
        self.path, self.took_s = [self.command], []

    @property
    def phase(self):
        return self.hand.guide.phase

    def step(self):
        self.tick = max(self.tick + 1, CONTROL_GRID.ceil(time.monotonic_ns()))
        stamp_ns = CONTROL_GRID.stamp(self.tick)
        time.sleep(max(0.0, (stamp_ns - time.monotonic_ns()) * 1e-9))
        began_s = time.monotonic()
        now = ArmNow(
            stamp_ns=stamp_ns,
            command=self.command,
            now_ns=time.monotonic_ns(),
            may_act=self.may_act,
            has_control=self.has_control,
        )
        sent = self.hand.step(now)
        self.took_s.append(time.monotonic() - began_s)
        self.has_control = sent is not None
        if sent is not None:
            self.command = sent.positions[0]
        self.path.append(self.command)
        return sent

    def until(self, holds):
        for _ in range(PATIENCE_TICKS):
            if holds():
                return
            self.step()
        raise AssertionError((self.phase, self.hand.word, self.hand.guide.hint))


@pytest.fixture
def twin(tmp_path):
    twin = Twin(tmp_path)
    yield twin
    twin.end()


@pytest.fixture
def follower(twin):
    leader = LeaderParams(port=str(twin.leader), calibration=str(twin.calibration))
    hand = make_hand(TeleopParams(device="leader", leader=leader), SPEC, open_leader)
    yield Follower(hand)
    hand.close()


def take_over(follower, twin):
    """Bring the leader to the follower and let it go by hand."""
    follower.may_act = True
    follower.until(lambda: follower.phase is Phase.READY)
    np.testing.assert_allclose(twin.positions(), follower.command, atol=0.06)
    twin.grasp()
    twin.ask(f"leader hand shoulder_pan {follower.command[0] + 0.15} 0.3")
    follower.until(lambda: follower.phase is Phase.FOLLOWED and follower.has_control)


def test_a_leader_takes_over_is_followed_lost_and_found_again(twin, follower):
    follower.until(lambda: follower.hand.word == "")
    assert follower.phase is Phase.FREE
    take_over(follower, twin)
    for _ in range(2 * CONTROL_HZ):
        follower.step()
    steps = np.abs(np.diff(follower.path, axis=0)).max(axis=1)
    moving = np.flatnonzero(steps)[0]
    assert steps[moving : moving + 10].max() <= 0.02
    twin.ask("leader wave shoulder_pan 0.3 0.5")
    began = len(follower.path)
    for _ in range(4 * CONTROL_HZ):
        follower.step()
    assert np.ptp(np.array(follower.path[began:])[:, 0]) > 0.5
    twin.ask("leader close 1.0")
    follower.until(lambda: follower.hand.word.startswith("leader: "))
    stands_at = follower.command
    assert follower.step() is None
    follower.until(lambda: follower.hand.word == "")
    np.testing.assert_array_equal(follower.command, stands_at)
    assert follower.phase is not Phase.FOLLOWED  # it is brought to the follower anew
    slowest_ms = np.percentile(follower.took_s, [50, 99]) * 1e3
    print("leader read and followed: p50 {:.2f} ms, p99 {:.2f} ms".format(*slowest_ms))
