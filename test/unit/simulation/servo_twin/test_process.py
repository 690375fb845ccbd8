"""The twin as a process: a serial port, a clock that runs, commands on stdin."""

import json
import os
import select
import signal
import termios
import time
import tty

import pytest
from servo_processes import servo_twins

from so101.errors import ConfigError
from so101.robot import JOINTS
from so101.servos import packets
from so101.servos import registers as reg
from so101.servos.packets import PacketParser
from so101.simulation.servo_twin.port import Port

PATIENCE_S = 20.0  # a busy machine; nothing here waits that long where all is well


class Terminal:
    """A host's end of a serial port, as a driver opens it."""

    def __init__(self, path, speed=termios.B1000000):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.fd)
        settings = termios.tcgetattr(self.fd)
        settings[4] = settings[5] = speed
        termios.tcsetattr(self.fd, termios.TCSANOW, settings)

    def ask(self, request, replies, patience_s=PATIENCE_S):
        """Return the replies, as many as expected or as came in time."""
        os.write(self.fd, request)
        parser, found = PacketParser(), []
        end = time.monotonic() + patience_s
        while len(found) < replies:
            ready, _, _ = select.select([self.fd], [], [], max(end - time.monotonic(), 0.0))
            if not ready:
                break
            found += parser.feed(os.read(self.fd, 4096))
        return found

    def close(self):
        os.close(self.fd)


@pytest.fixture
def start():
    with servo_twins() as start:
        yield start


def test_a_host_reads_writes_and_moves_a_joint(start, tmp_path):
    twin = start("--link", tmp_path / "port", "--calibration", tmp_path / "arm.json")
    calibration = json.loads((tmp_path / "arm.json").read_text())
    assert list(calibration) == list(JOINTS)
    port = Terminal(tmp_path / "port")
    replies = port.ask(packets.sync_read(reg.PRESENT_POSITION.address, 2, range(1, 7)), 6)
    position = reg.PRESENT_POSITION.decode(replies[0].parameters)
    assert 2000 < position < 2100
    goal = reg.GOAL_POSITION.encode(position + 200)
    port.ask(packets.write(1, reg.GOAL_POSITION.address, goal), 1)
    port.ask(packets.write(1, reg.TORQUE_ENABLE.address, b"\x01"), 1)
    end = time.monotonic() + PATIENCE_S
    while abs(twin.state()["positions"][0] - 200 * reg.RAD_PER_TICK) > 0.02:
        assert time.monotonic() < end
    assert calibration["shoulder_pan"]["homing_offset"] == 310
    port.close()


def test_an_unplugged_adapter_is_an_error_and_the_link_leads_to_the_next_port(start, tmp_path):
    link = tmp_path / "port"
    twin = start("--link", link)
    port = Terminal(link)
    assert len(port.ask(packets.ping(1), 1)) == 1
    assert twin.command("close") == "ok"
    with pytest.raises(OSError, match="Input/output error"):
        port.ask(packets.ping(1), 1)
    port.close()
    assert not link.is_symlink()
    assert twin.command("open") == "ok"
    port = Terminal(link)
    assert len(port.ask(packets.ping(1), 1)) == 1
    port.close()


def test_at_another_rate_nobody_understands(start):
    twin = start()
    port = Terminal(twin.ports["follower"], termios.B115200)
    assert port.ask(packets.ping(1), 1, patience_s=0.3) == []
    port.close()
    port = Terminal(twin.ports["follower"])
    assert len(port.ask(packets.ping(1), 1)) == 1
    port.close()


def test_a_leader_is_an_arm_of_its_own_that_a_hand_moves(start):
    twin = start("--leader", "--pose", "home")
    assert twin.command("leader hand shoulder_pan 0.5 0.1") == "ok"
    end = time.monotonic() + PATIENCE_S
    while abs(twin.state("leader")["positions"][0] - 0.5) > 0.1:
        assert time.monotonic() < end
    assert abs(twin.state()["positions"][0]) < 0.01
    port = Terminal(twin.ports["leader"])
    (reply,) = port.ask(packets.read(1, reg.PRESENT_POSITION.address, 2), 1)
    assert reg.PRESENT_POSITION.decode(reply.parameters) > 2047 + 200
    port.close()


def test_faults_act_from_the_start_and_mistakes_are_said(start):
    twin = start("--fault", "missing 2", "--fault", "drop 1 3")
    port = Terminal(twin.ports["follower"])
    found = port.ask(packets.ping(packets.BROADCAST_ID), 4)
    assert [reply.id for reply in found] == [1, 4, 5, 6]
    assert twin.command("drop 7").startswith("error: '7': expected a probability")
    assert twin.command("clear") == "ok"
    assert len(port.ask(packets.ping(packets.BROADCAST_ID), 6)) == 6
    port.close()


@pytest.mark.parametrize("ending", ["quit", signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_good_order(start, tmp_path, ending):
    twin = start("--link", tmp_path / "port")
    if ending == "quit":
        twin.command("quit")
    else:
        twin.process.send_signal(ending)
    assert twin.process.wait(PATIENCE_S) == (130 if ending == signal.SIGINT else 0)
    assert not (tmp_path / "port").is_symlink()


def test_the_end_of_stdin_is_not_the_end(start):
    twin = start()
    twin.process.stdin.close()
    twin.process.stdin = None
    port = Terminal(twin.ports["follower"])
    for _ in range(3):
        assert len(port.ask(packets.ping(1), 1)) == 1
    port.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pose", "nowhere"], "unknown pose 'nowhere'; known: home"),
        (["--latency", "nan"], "--latency is 0 to 1000 ms"),
        (["--fault", "drop 2"], "--fault 'drop 2': '2': expected a probability"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, words, capsys):
    from so101_bringup import cli

    assert cli.main(["servo-twin", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_link_replaces_what_a_killed_twin_left_and_nothing_else(tmp_path):
    (tmp_path / "stale").symlink_to(tmp_path / "gone")
    port = Port(tmp_path / "stale")
    assert os.readlink(tmp_path / "stale") == port.path
    port.close()
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ConfigError, match="is not a symbolic link"):
        Port(tmp_path / "notes")
