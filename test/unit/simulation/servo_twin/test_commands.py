"""Fault commands: what each does, and that none is carried out half."""

import json

import numpy as np
import pytest
from servo_hosts import Host

from so101.errors import ConfigError
from so101.robot import JOINTS
from so101.servos import registers as reg
from so101.simulation.servo_twin.commands import HELP


@pytest.fixture
def host():
    return Host()


def test_the_help_lists_every_command(host):
    listed = {line.split()[0] for line in HELP.splitlines()}
    with pytest.raises(ConfigError, match="unknown command 'xyzzy'") as error:
        host.command("xyzzy")
    known = str(error.value).split("known: ")[1].split(", ")
    assert listed == set(known) - {"open"}  # the help names it beside close


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "unknown command ''"),
        ("drop", "0 arguments; usage: drop P"),
        ("drop 1.5", "expected a probability"),
        ("drop nan", "expected a number"),
        ("drop 0.5 7", "expected all, 1 to 6, or one of shoulder_pan"),
        ("delay 0.5 -1", "expected a number of at least 0"),
        ("jump 1 ten", "'ten': expected a number"),
        ("status 1 256", "whole number, 0 to 255"),
        ("register 1 colour 3", "unknown register 'colour'"),
        ("register 1 id 300", "whole number, 0 to 255"),
        ("heat 1 70 -2", "at least 0"),
        ("voltage -3", "at least 0"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(host, line, words):
    before = json.loads(host.command("state"))
    with pytest.raises(ConfigError, match=words):
        host.command(line)
    assert json.loads(host.command("state")) == before


def test_a_jump_moves_the_reading_and_not_the_arm(host):
    before, truth = host.get(reg.PRESENT_POSITION, 1), host.twin.plant.positions[0]
    host.command("jump shoulder_pan 1000")
    host.wait(0.01)
    assert host.get(reg.PRESENT_POSITION, 1) == pytest.approx(before + 1000, abs=3)
    assert host.twin.plant.positions[0] == pytest.approx(truth, abs=1e-3)


def test_a_frozen_encoder_says_the_same_while_the_joint_moves(host):
    host.command("freeze elbow_flex 0.5")
    before = host.get(reg.PRESENT_POSITION, 3)
    host.command("hand elbow_flex 0.5 0.2")
    host.wait(0.3)
    assert host.twin.plant.positions[2] == pytest.approx(0.5, abs=0.1)
    assert host.get(reg.PRESENT_POSITION, 3) == before
    host.wait(0.3)
    assert host.get(reg.PRESENT_POSITION, 3) != before


def test_a_hand_moves_a_joint_in_time_and_lets_go(host):
    host.put(reg.TORQUE_ENABLE, 1)
    host.command("hand shoulder_pan 0.6 1")
    host.wait(0.5)
    assert 0.05 < host.twin.plant.positions[0] < 0.45
    host.wait(0.8)
    assert host.twin.plant.positions[0] == pytest.approx(0.6, abs=0.11)  # the servo pulls back
    host.command("release")
    host.wait(1.0)
    assert host.twin.plant.positions[0] == pytest.approx(0.0, abs=0.02)


def test_a_wave_goes_to_and_fro(host):
    host.command("wave shoulder_pan 0.3 1")
    positions = []
    for _ in range(50):
        host.wait(0.02)
        positions.append(host.twin.plant.positions[0])
    assert max(positions) == pytest.approx(0.3, abs=0.08)
    assert min(positions) == pytest.approx(-0.3, abs=0.08)


def test_error_bits_last_as_long_as_asked_for(host):
    host.command("overload gripper 0.2")
    assert host.get(reg.STATUS, 6) == 32
    host.wait(0.3)
    assert host.get(reg.STATUS, 6) == 0
    host.command("status 2 5")
    assert host.get(reg.STATUS, 2) == 5


def test_registers_are_set_for_good_also_read_only_ones(host):
    host.command("register all firmware_minor 9")
    host.command("register 2 max_position_limit 3000")
    host.command("reboot all")
    host.wait(0.4)
    assert [host.get(reg.FIRMWARE_MINOR, servo) for servo in (1, 6)] == [9, 9]
    assert host.get(reg.MAX_POSITION_LIMIT, 2) == 3000


def test_the_port_closes_and_opens_by_itself_or_when_told(host):
    host.command("close 0.3")
    assert not host.socket.is_open
    host.wait(0.2)
    assert not host.socket.is_open
    host.wait(0.2)
    assert host.socket.is_open
    host.command("close")
    host.command("open")
    assert host.socket.is_open


def test_clear_ends_every_fault(host):
    lines = (
        "drop 1",
        "corrupt 1",
        "delay 1 50",
        "silent",
        "close",
        "jump all 100",
        "freeze 2",
        "heat 3 80",
        "voltage 8",
        "overload 4",
        "missing 5",
        "hand 1 0.3",
        "wave 2 0.2 1",
    )
    for line in lines:
        host.command(line)
    host.wait(0.1)
    host.command("clear")
    host.wait(0.2)
    assert host.socket.is_open
    assert host.get(reg.PRESENT_VOLTAGE) > 110
    assert host.get(reg.STATUS, 4) == 0
    middle = np.array([host.get(reg.PRESENT_POSITION, servo) for servo in range(1, 7)])
    assert np.abs(middle - host.twin.motors.positions).max() < 60  # still falling, seen as it is
    truth = json.loads(host.command("state"))
    assert len(truth["positions"]) == len(JOINTS)
    assert truth["requests"] == 8
