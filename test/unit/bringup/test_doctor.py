"""`so101 doctor`: what is fine is said to be, and what is not, with what to do about it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from factories import make_calibration
from hand_moved_arm import IDS, HandMovedArm

from so101.clock import NS_PER_S
from so101.graph_clock import ANCHOR
from so101.servos.calibration import calibration_from
from so101.servos.calibration_store import store
from so101.servos.wanted import settings
from so101_bringup import cli
from so101_bringup.doctor import computer, graph_clocks
from so101_bringup.doctor.finding import Finding, exit_code
from so101_bringup.doctor.servos import check_file, check_servos

ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
CALIBRATION = calibration_from(make_calibration(), "here")


def arm():
    """A calibrated arm at 12 V and 30 °C."""
    servos = HandMovedArm()
    store(servos, CALIBRATION, lambda: None)
    for joint, servo in enumerate(IDS):
        for want in settings(joint):
            name = want.register.name
            servos.memory[servo][name] = want.mend(servos.memory[servo][name])
    for memory in servos.memory.values():
        memory |= {"present_voltage": 120, "present_temperature": 30, "status": 0}
    servos.written.clear()
    return servos


def problems(servos, kind="follower"):
    found = check_servos(servos, IDS, CALIBRATION, kind)
    return {one.name: one for one in found if not one.is_fine}


def test_a_line_says_what_to_do_only_where_something_is():
    good, bad = Finding("disk", "room"), Finding("disk", "full", "make room")
    assert str(good) == "fine     disk           room"
    assert str(bad).splitlines() == ["PROBLEM  disk           full", f"{'':23} → make room"]
    assert (exit_code([]), exit_code([good]), exit_code([good, bad])) == (0, 0, 1)


def test_missing_packages_are_named():
    assert computer.check_modules(lambda name: True).is_fine
    assert (
        "rclpy, mujoco"
        in computer.check_modules(lambda name: name not in ("rclpy", "mujoco")).text
    )


@pytest.mark.parametrize(("free", "is_fine"), [(4.99e9, False), (5e9, True), (0.0, False)])
def test_disk(free, is_fine):
    assert computer.check_disk("runs", free).is_fine is is_fine


@pytest.mark.parametrize(
    ("environ", "is_fine"),
    [
        ({}, True),
        ({"ROS_DOMAIN_ID": ""}, True),
        ({"ROS_DOMAIN_ID": "101"}, True),
        ({"ROS_DOMAIN_ID": "102"}, False),
        ({"ROS_DOMAIN_ID": "-1"}, False),
        ({"ROS_DOMAIN_ID": "blue"}, False),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, True),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "subnet"}, False),
    ],
)
def test_ros_variables(environ, is_fine):
    assert computer.check_ros(environ).is_fine is is_fine


def test_who_hears_the_robot_is_said():
    assert "tools of this shell use SUBNET" in computer.check_ros({}).text
    narrow = computer.check_ros({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"})
    assert narrow.text == "domain 0; so101 stays on this computer"


def test_a_clock_before_the_software_is_not_set():
    assert computer.check_clock(2.0, 1.0).is_fine
    assert "1.5 days before" in computer.check_clock(0.0, 1.5 * 86400).text


def test_opengl():
    assert computer.check_gl("egl").is_fine
    assert "libegl1" in computer.check_gl(None).advice


def test_a_calibration_that_is_missing_or_broken(tmp_path):
    finding, calibration = check_file(tmp_path, "follower", "blue")
    assert calibration is None
    assert "so101 calibrate --arm follower --id blue" in finding.advice
    path = tmp_path / "robots/so_follower/blue.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    finding, calibration = check_file(tmp_path, "follower", "blue")
    assert calibration is None
    assert "missing shoulder_pan" in finding.text
    path.write_text(CALIBRATION.to_text())
    finding, calibration = check_file(tmp_path, "follower", "blue")
    assert finding.is_fine
    assert calibration.joints == CALIBRATION.joints


def test_a_good_arm_has_no_problem_and_is_not_written():
    servos = arm()
    assert not problems(servos)
    assert not servos.written


@pytest.mark.parametrize(
    ("servo", "register", "value", "name", "text"),
    [
        (3, "firmware_minor", 9, "firmware", "elbow_flex 3.9"),
        (1, "present_voltage", 95, "voltage", "9.5 to 12.0 V"),
        (6, "present_voltage", 50, "voltage", "5.0 to 12.0 V"),
        (4, "present_temperature", 55, "temperature", "wrist_flex 55 °C"),
        (2, "status", 0x20, "status", "shoulder_lift 0x20"),
        (5, "max_position_limit", 7, "limits", "wrist_roll (id 5): max_position_limit is 7"),
        (5, "phase", 0x10, "limits", "phase is 16, wanted bits clear"),
        (6, "overload_torque", 80, "settings", "gripper (id 6): overload_torque is 80"),
        (2, "model_number", 1284, "servos", "shoulder_lift: servo 2 is of model 1284"),
    ],
)
def test_what_is_wrong_with_a_servo(servo, register, value, name, text):
    servos = arm()
    servos.memory[servo][register] = value
    found = problems(servos)
    assert list(found) == [name]
    assert text in found[name].text
    assert found[name].advice


def test_a_leaders_gains_do_not_matter_and_its_calibration_does():
    servos = arm()
    servos.memory[2] |= {"p_coefficient": 99, "min_position_limit": 3}
    assert list(problems(servos, "leader")) == ["limits"]
    assert list(problems(servos)) == ["settings", "limits"]


def test_a_silent_servo_ends_the_look_with_its_joint():
    servos = arm()
    servos.is_deaf = {4}
    found = problems(servos)
    assert list(found) == ["servos"]
    assert "wrist_flex: servo 4" in found["servos"].text


def test_an_arm_of_7_volts_is_fine():
    servos = arm()
    for memory in servos.memory.values():
        memory["present_voltage"] = 74
    assert not problems(servos)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(tmp_path))
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    return tmp_path


def test_the_command_says_it_all_and_its_exit_code_is_for_scripts(capsys, here):
    code = cli.main(["doctor", "--id", "blue", "--port", str(here / "none")])
    out = capsys.readouterr().out
    assert code == 1
    assert "PROBLEM  calibration" in out
    assert "PROBLEM  servos" in out
    assert "domain 7" in out


def test_a_port_that_is_no_usb_adapter_is_looked_at_too(capsys, here):
    silent, end = os.openpty()
    name = os.ttyname(end)
    os.close(end)
    try:
        assert cli.main(["doctor", "--port", name]) == 1
    finally:
        os.close(silent)
    out = capsys.readouterr().out
    assert f"fine     ports          {name}: free" in out
    assert "PROBLEM  servos" in out


def test_programs_read_the_same(capsys, here):
    words = ["doctor", "--id", "blue"]
    code = cli.main(words)
    lines = capsys.readouterr().out.splitlines()
    assert cli.main([*words, "--json"]) == code == 1
    told = json.loads(capsys.readouterr().out)
    assert len(told) == sum(line.startswith(("fine", "PROBLEM")) for line in lines)
    (bad,) = [one for one in told if one["name"] == "calibration"]
    assert not bad["is_fine"] and "so101 calibrate" in bad["advice"]


def test_a_look_at_the_computer_loads_no_torch_and_no_ros(here):
    program = (
        "import sys; from so101_bringup import cli; cli.main(['doctor']); "
        "print([name for name in ('torch', 'rclpy', 'mujoco', 'cv2') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENV)
    assert run.stdout.splitlines()[-1] == "[]", run.stderr


def test_a_graph_that_runs_since_before_the_date_was_set_is_named(tmp_path):
    processes = {
        10: (b"python\0-m\0hardware_node.node\0", f"{ANCHOR}=5000000000"),
        200: (b"/opt/lib/so101_bringup/camera_node\0", f"{ANCHOR}=8600000000"),
        201: (b"python\0-m\0simulation_node.node\0", f"{ANCHOR}=1"),
        202: (b"python\0-m\0camera_node.node\0", "HOME=/"),
    }
    for number, (command, variable) in processes.items():
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "cmdline").write_bytes(command)
        (folder / "environ").write_text(f"A=b\0{variable}\0")
    (tmp_path / "300").mkdir()  # somebody else's
    running = list(graph_clocks.running_anchors(tmp_path))
    assert [ns for _, ns in running] == [5 * NS_PER_S, 8_600_000_000]
    finding = graph_clocks.check_graph_clocks(running, 9 * NS_PER_S)
    assert not finding.is_fine and "restart the graph" in finding.advice
    assert "hardware_node (process 10) +4.0 s" in finding.text and "camera" not in finding.text
    assert graph_clocks.check_graph_clocks(running[1:], 9 * NS_PER_S).is_fine
    assert graph_clocks.check_graph_clocks([], 0).is_fine
