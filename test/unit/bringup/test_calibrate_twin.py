"""`so101 calibrate` against simulated servos on a serial port, moved by a hand: processes as used.

The twin knows how its arm was put together; the calibration has to find that out.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from so101.robot import JOINTS, so101
from so101.simulation.servo_twin.assembly import Assembly

GRIPPER_MIDDLE = (so101().lower[-1] + so101().upper[-1]) / 2.0
HAND_S = 0.8
PUSH_SPEED = 1.5  # a slow hand: beyond a quarter turn per reading it is a jump [rad/s]
NEAR = 0.03  # the arm hangs a little in a hand [rad]
PRESS, AT_THE_STOP = 0.1, 0.003
NEAR_TICKS = 15
CLEAR_OF_THE_DESK = {
    "shoulder_lift": {"elbow_flex": so101().lower[2]},
    "elbow_flex": {"shoulder_lift": -1.2},
}
"""Where other joints are while one is moved to its ends."""


class RefusedError(AssertionError):
    """What a person did was refused."""


class Process:
    """A so101 command that is talked to by lines."""

    def __init__(self, *arguments, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "so101_bringup.cli", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            env={**os.environ, **environment},
        )

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, text):
        """Return the next line with a text; everything before it is passed over."""
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if text in line:
                return line
            if "  ! " in line:
                raise RefusedError("".join(seen))  # what is waited for never comes
        raise AssertionError(f"never said {text!r}: {''.join(seen)}")

    def end(self):
        out, _ = self.process.communicate(timeout=20)
        return self.process.returncode, out


@contextmanager
def started(*arguments, **environment):
    one = Process(*arguments, **environment)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGTERM)
        with one.process:
            pass


class Arm:
    """The twin, its port, and the hand that moves it."""

    def __init__(self, process, port):
        self.process, self.port = process, port

    def command(self, line):
        self.process.say(line)
        return self.process.until("ok")

    def hold_all(self, pose):
        """Take joints there at once and wait until all are."""
        for joint, position in pose.items():
            self.command(f"hand {joint} {position:.6f} {HAND_S}")
        at = [JOINTS.index(joint) for joint in pose]
        want = list(pose.values())
        while np.abs(np.take(self.state()["positions"], at) - want).max() > NEAR:
            pass

    def push(self, joint, sign, end):
        """Press a joint against its stop until that was read; a busy machine reads seldom."""
        at = JOINTS.index(joint)
        way = abs(end - self.state()["positions"][at])
        self.command(f"hand {joint} {end + sign * PRESS:.6f} {way / PUSH_SPEED:.3f}")
        while sign * (self.state()["positions"][at] - end) < -AT_THE_STOP:
            pass
        seen = self.state()["requests"] + 2 * len(JOINTS)  # a reading asks every servo
        while self.state()["requests"] < seen:
            pass

    def state(self):
        return json.loads(self.command("state").partition("ok")[2])


@pytest.fixture
def arm(tmp_path):
    port = str(tmp_path / "arm")
    with started("servo-twin", "--uncalibrated", "--link", port) as twin:
        twin.until("ready")
        yield Arm(twin, port)


def calibrating(arm, tmp_path, *more):
    return started(
        *("calibrate", "--port", arm.port, "--id", "blue", *more),
        HF_LEROBOT_CALIBRATION=str(tmp_path),
    )


def middle(joint):
    return GRIPPER_MIDDLE if joint == "gripper" else 0.0


def ends(joint, end):
    """Return what a joint's encoder says there; the middle pose was not exact."""
    return joint["homing_offset"] + joint[end]


def to_the_middle(arm):
    arm.hold_all({joint: middle(joint) for joint in JOINTS})


def move_every_joint(arm, person):
    """Do as one is told, from the middle pose on."""
    spec = so101()
    to_the_middle(arm)
    person.until("1 of 3")
    person.say("")
    for at, joint in enumerate(JOINTS):
        if joint != "wrist_roll":
            person.until(f"Move {joint} ")
            others = CLEAR_OF_THE_DESK.get(joint, {})
            if others:
                arm.hold_all(others)
            arm.push(joint, -1.0, spec.lower[at])
            arm.push(joint, 1.0, spec.upper[at])
            arm.hold_all({one: middle(one) for one in (joint, *others)})
            person.say("")
    person.until("3 of 3")


def test_the_twins_assembly_is_found_and_kept(arm, tmp_path):
    with calibrating(arm, tmp_path) as person:
        for is_last in (False, False, True):
            try:
                move_every_joint(arm, person)
                break
            except (
                RefusedError
            ):  # a very busy machine reads too seldom: then a person begins again
                if is_last:
                    raise
                person.say("a")
        person.say("")
        code, out = person.end()
    assert code == 0, out
    path = tmp_path / "robots/so_follower/blue.json"
    assert str(path) in out
    true_file = tmp_path / "true.json"
    Assembly().write_calibration(true_file)
    found, true = json.loads(path.read_text()), json.loads(true_file.read_text())
    for joint in JOINTS:
        for end in ("range_min", "range_max"):
            encoder, want = ends(found[joint], end), ends(true[joint], end)
            assert encoder == pytest.approx(want, abs=NEAR_TICKS), (joint, end)
    # The servos have it: written again, nothing differs.
    with calibrating(arm, tmp_path, "--restore") as again:
        code, out = again.end()
    assert code == 0, out
    assert "nothing was written" in out


@pytest.mark.parametrize("way", ["q", "end of input", "SIGINT", "SIGTERM", "SIGHUP"])
def test_broken_off_the_servos_hold_and_remember_what_they_did(arm, tmp_path, way):
    to_the_middle(arm)
    arm.command("register all torque_enable 1")
    with calibrating(arm, tmp_path) as person:
        person.until("Take the arm in your hands")
        person.say("")
        person.until("1 of 3")
        assert not any(arm.state()["torque"])
        person.say("")
        person.until("2 of 3")
        if way == "q":
            person.say("q")
        elif way != "end of input":
            person.process.send_signal(getattr(signal, way))
        code, out = person.end()  # closes its input
    assert code == 130, out
    assert "servos and file are as they were" in out
    assert not list(tmp_path.rglob("*.json"))
    assert all(arm.state()["torque"])
    true_file = tmp_path / "robots/so_follower/blue.json"
    Assembly().write_calibration(true_file)
    arm.command("register all torque_enable 0")
    with calibrating(arm, tmp_path, "--restore") as again:
        _, out = again.end()
    # As shipped: every offset is 0 and every limit open.
    assert all(f"{joint} (id {at}) homing_offset 0 →" in out for at, joint in enumerate(JOINTS, 1))


def test_a_port_in_use_is_left_alone(arm, tmp_path):
    with calibrating(arm, tmp_path) as first:
        first.until("1 of 3")
        with calibrating(arm, tmp_path) as second:
            code, out = second.end()
        assert code == 2
        assert f"(process {first.process.pid})" in out
        assert "in use by" in out


def test_a_twin_whose_cable_is_pulled_ends_it_with_a_clear_word(arm, tmp_path):
    with calibrating(arm, tmp_path) as person:
        person.until("1 of 3")
        arm.command("close")
        assert person.process.wait(timeout=20) == 2
        out = person.process.stdout.read()
    assert "so101: error:" in out
    assert "Traceback" not in out
