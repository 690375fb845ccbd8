"""`so101 calibrate`: who breaks off leaves the arm as it was, who ends has servos and file.

The servos are registers, and the terminal is the person: asked for a line, it moves the arm on.
"""

import fcntl
import io
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import tty

import numpy as np
import pytest
from hand_moved_arm import IDS, HandMovedArm

from so101.errors import HardwareError
from so101.robot import JOINTS
from so101.servos.calibrating import Calibrating, Stage
from so101.servos.calibration_store import compare
from so101.servos.registers import PRESENT_POSITION
from so101.servos.sweep import urdf_ways
from so101.servos.wanted import calibrated
from so101_bringup.calibrate_job import calibrate, signals_held_back
from so101_bringup.calibrate_screen import bar, table, task
from so101_bringup.cli_calibrate import LiveTerminal, open_bus

WAYS = np.rint(urdf_ways()).astype(int)
STEP = 60


class Person:
    """Does what it is asked, except at one step, where it does what the test wants.

    Args:
        arm: What it moves.
        instead: What happens when the text of this task comes.
    """

    def __init__(self, arm, instead=None):
        self.arm, self.instead = arm, instead or {}
        self.asked, self.said = [], []
        self._moves = []

    def show(self, task, table):
        if not self.asked or self.asked[-1] != task[0]:
            self.asked.append(task[0])
            self._moves = self._plan(task[0])

    def line(self, timeout_s):
        for text, act in self.instead.items():
            if text in self.asked[-1]:
                return act()
        if not self._moves:
            return ""
        servo, ticks = self._moves.pop(0)
        self.arm.encoders[servo] = (self.arm.encoders[servo] + ticks) % 4096
        return None

    def say(self, text):
        self.said.append(text)

    def _plan(self, text):
        for joint, servo in zip(JOINTS, IDS, strict=True):
            if f"Move {joint} " in text:
                steps = WAYS[JOINTS.index(joint)] // 2 // STEP
                signs = [1] * steps + [-1] * (2 * steps) + [1] * steps
                return [(servo, sign * STEP) for sign in signs]
        return []


def leave():
    return "q"


def end_of_input():
    raise EOFError


def interrupted():
    raise KeyboardInterrupt


ARM = {"encoders": (5, 4000, 2100, 1000, 3000, 2047), "offsets": (7, -9, 0, 100, 0, -2047)}


def test_a_calibration_ends_in_the_servos_and_the_file():
    arm, files = HandMovedArm(**ARM), []
    person = Person(arm)
    changes = calibrate(arm, person, files.append)
    assert [text.split()[0] for text in person.asked] == ["1", *["2"] * 5, "3"]
    (calibration,) = files
    assert len(changes) == 16  # six offsets, and all ends but those of the wrist
    assert not compare(arm, IDS, [calibrated(joint) for joint in calibration.joints])
    # At the end every joint is in the middle again, which it now says itself.
    positions = [arm.read(servo, PRESENT_POSITION) for servo in IDS]
    assert positions == [2047] * 6
    np.testing.assert_allclose(calibration.to_rad(np.array(positions))[:5], 0.0, atol=1e-3)


@pytest.mark.parametrize("step", ["1 of 3", "Move wrist_flex", "3 of 3"])
@pytest.mark.parametrize("act", [leave, end_of_input, interrupted])
def test_whoever_breaks_off_leaves_all_as_it_was(step, act):
    arm, files = HandMovedArm(**ARM), []
    for servo in (2, 3):
        arm.memory[servo]["torque_enable"] = 1
    before = {servo: dict(memory) for servo, memory in arm.memory.items()}
    person = Person(arm, {step: act})
    if act is interrupted:
        with pytest.raises(KeyboardInterrupt):
            calibrate(arm, person, files.append)
    else:
        assert calibrate(arm, person, files.append) is None
    assert not files
    for servo in IDS:  # a goal is where the joint was left
        before[servo]["goal_position"] = arm.memory[servo]["goal_position"]
    assert arm.memory == before
    for servo in (2, 3):
        assert arm.memory[servo]["goal_position"] == arm.read(servo, PRESENT_POSITION)


def test_nobodys_arm_falls_without_a_word():
    arm = HandMovedArm(**ARM)
    arm.memory[2]["torque_enable"] = 1
    person = Person(arm, {"Take the arm in your hands": leave})
    assert calibrate(arm, person, lambda _: None) is None
    assert person.asked == [
        "Take the arm in your hands, then press Enter: shoulder_lift will go limp. (q: leave it)"
    ]
    assert not arm.written


def test_an_arm_that_goes_silent_ends_it_with_its_joint():
    arm = HandMovedArm(**ARM)
    person = Person(arm, {"Move elbow_flex": lambda: arm.is_deaf.add(3)})
    with pytest.raises(HardwareError, match="servo 3: no answer"):
        calibrate(arm, person, lambda _: None)
    assert not arm.written


def test_a_missing_servo_is_said_before_anything_else():
    arm = HandMovedArm(**ARM)
    arm.is_deaf = {4}
    person = Person(arm)
    with pytest.raises(HardwareError, match="wrist_flex: servo 4: no answer; look at power"):
        calibrate(arm, person, lambda _: None)
    assert not person.asked


def test_beginning_again_starts_at_the_middle():
    arm, files = HandMovedArm(**ARM), []
    person = Person(arm)

    def again():
        person.instead.clear()
        return "A"

    person.instead = {"Move gripper": again}
    calibrate(arm, person, files.append)
    assert [text.split()[0] for text in person.asked] == ["1", *["2"] * 5, "1", *["2"] * 5, "3"]
    assert len(files) == 1


def test_a_signal_waits_until_the_servos_are_written():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("signal"))
    try:
        with signals_held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            seen.append("written")
        assert seen == ["written", "signal"]
    finally:
        signal.signal(signal.SIGTERM, before)


class TestScreen:
    def machine(self):
        machine = Calibrating(IDS)
        machine.see(np.full(6, 2047))
        return machine

    def test_before_the_middle_pose_there_are_encoders(self):
        machine = self.machine()
        assert table(machine)[0].split() == ["shoulder_pan", "encoder", "2047"]
        assert "1 of 3" in task(machine)[0]

    def test_a_bar_shows_the_way_the_joint_and_the_models_ends(self):
        machine = self.machine()
        machine.confirm()
        for ticks in (2547, 3071, 2560):
            machine.see(np.array([ticks, *[2047] * 5]))
        shown = bar(machine.sweep, 0)
        # 41 cells for 4095 ticks: 2047 is cell 20, 3071 cell 30, 2560 cell 25.
        assert len(shown) == 43
        assert shown[1:-1].index("=") == 20
        assert shown[1:-1].rindex("=") == 30
        assert shown[1:-1].index("#") == 25
        # The model's 220° are 2502 ticks: ends at 796 and 3298.
        assert [at for at, cell in enumerate(shown[1:-1]) if cell == ":"] == [8, 32]
        assert table(machine)[0].split()[-4:] == ["45°", "90°", "of", "220°"]

    def test_what_is_wrong_is_on_the_screen(self):
        machine = self.machine()
        machine.confirm()
        machine.confirm()
        assert any("! shoulder_pan was moved 0°" in line for line in task(machine))
        assert machine.stage is Stage.SWEEP

    def test_past_the_encoders_end_the_bar_stays_a_bar(self):
        machine = self.machine()
        machine.confirm()
        for ticks in (3000, 4000, 800, 1500):
            machine.see(np.array([ticks, *[2047] * 5]))
        assert len(bar(machine.sweep, 0)) == 43


class TestTerminal:
    @pytest.fixture
    def pipe(self):
        source, sink = os.pipe()
        yield source, sink
        os.close(source)

    def test_lines_come_one_by_one_and_then_no_more(self, pipe):
        terminal = LiveTerminal(pipe[0], io.StringIO())
        assert terminal.line(0.0) is None
        os.write(pipe[1], b"a\n\nq")
        assert [terminal.line(1.0), terminal.line(1.0)] == ["a", ""]
        assert terminal.line(0.0) is None
        os.close(pipe[1])
        with pytest.raises(EOFError):
            terminal.line(1.0)

    def test_what_is_no_terminal_gets_tasks_only_and_each_once(self, pipe):
        target = io.StringIO()
        terminal = LiveTerminal(pipe[0], target)
        for number in range(3):
            terminal.show(["do this"], [f"row {number}"])
        terminal.show(["do that"], [])
        assert target.getvalue() == "do this\ndo that\n"

    def test_what_is_to_be_done_is_broken_between_words_and_never_cut(self, pipe):
        shown = self.drawn(pipe, ["move it slowly to both ends", "  ! it was not"], ["x" * 30])
        lines = shown.splitlines()
        assert all(len(line) < 20 for line in lines)
        assert " ".join(shown.split()).startswith("move it slowly to both ends ! it was not")
        assert lines[-1] == "x" * 19

    def drawn(self, pipe, task, table):
        """Return what a terminal of 20 columns gets."""
        leader, follower = pty.openpty()
        with os.fdopen(follower, "w") as target:
            tty.setraw(target.fileno())
            fcntl.ioctl(target.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
            LiveTerminal(pipe[0], target).show(task, table)
            shown = ""
            while not shown.endswith(f"{table[-1][:19]}\n"):
                shown += os.read(leader, 4096).decode()
        os.close(leader)
        return shown

    def test_a_terminal_is_drawn_anew_and_no_line_wraps(self, pipe):
        leader, follower = pty.openpty()
        tty.setraw(follower)
        with os.fdopen(follower, "w") as target:
            tty.setraw(target.fileno())
            fcntl.ioctl(target.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
            terminal = LiveTerminal(pipe[0], target)
            terminal.show(["task"], ["x" * 30])
            terminal.show(["task"], ["y" * 30])
            want = f"task\n{'x' * 19}\n\x1b[2F\x1b[Jtask\n{'y' * 19}\n"
            shown = ""
            while len(shown) < len(want):
                shown += os.read(leader, 4096).decode()
        os.close(leader)
        assert shown == want


def test_a_port_that_another_program_has_is_not_opened(tmp_path):
    """Also where that program locks nothing, as LeRobot does not."""
    device = tmp_path / "tty"
    device.touch()
    link = tmp_path / "by-id"
    link.symlink_to(device)
    code = f"import sys; f = open({str(device)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(HardwareError, match=rf"in use by .* \(process {other.pid}\); end"):
            open_bus(str(link))
        other.stdin.close()
