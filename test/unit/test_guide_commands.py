"""Every line of the guides for ROS's own tools names topics, services and arguments that exist."""

from pathlib import Path

import pytest
from guide_commands import problem, ros_lines

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINES = [(page, line) for page in PAGES for line in ros_lines(page)]


@pytest.mark.parametrize(("page", "line"), LINES, ids=lambda one: getattr(one, "name", one)[:70])
def test_what_a_line_names_exists(page, line):
    assert problem(line) == "", page


def test_the_guides_have_lines_for_every_tool():
    tools = {line.split()[1] for _, line in LINES if line.startswith("ros2 ")}
    assert tools >= {"launch", "topic", "service", "param", "bag", "run", "node"}
    assert len(LINES) >= 40


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("ros2 topic echo /joint_state", "no topic joint_state"),
        ("ros2 topic hz /left/joint_states", ""),
        ("ros2 topic echo /middle/joint_states", "no topic middle/joint_states"),
        ("ros2 topic pub /label std_msgs/msg/String '{}'", "is of diagnostic_msgs"),
        ("ros2 topic watch /label", "not known"),
        ("rqt_plot /joint_states/position[0] /reward/valu", "no topic reward/valu"),
        ("ros2 service call /arm/estop std_srvs/srv/SetBool '{data: true}'", ""),
        ("ros2 service call /arm/stop std_srvs/srv/SetBool '{data: true}'", "no service"),
        ("ros2 service call /arm/estop std_srvs/srv/Trigger", "is of std_srvs/srv/SetBool"),
        ("ros2 service call /arm/estop std_srvs/srv/SetBool", "takes a value"),
        ("ros2 service call /arm/estop std_srvs/srv/SetBool '{value: true}'", "takes a value"),
        ("ros2 service call /arm/recover std_srvs/srv/Trigger '{data: true}'", "no value"),
        ("ros2 launch so101_bringup up.launch.py robot:=sim", ""),
        ("ros2 launch so101_bringup up.launch.py robot:=simulated", "robot"),
        ("ros2 launch so101_bringup up.launch robot:=sim", "no launch file"),
        ("ros2 launch so101_bringup down.launch.py", "no launch file"),
        ("ros2 launch so101_bringup sim.launch.py usb_port:=/dev/arm", "takes no usb_port"),
        ("ros2 launch so101_bringup cameras.launch.py cameras:=[wrist,front]", "'[wrist'"),
        ("ros2 launch so101_bringup up.launch.py robot:=sim speed:=fast", "speed"),
        ("ros2 launch so101 up.launch.py robot:=sim", "no package so101"),
        ("ros2 run so101_bringup policy", "no program policy"),
        ("ros2 param get /policy_node schedule", ""),
        ("ros2 param get /left/wrist_camera device", ""),
        ("ros2 param get /policy_node schedul", "no parameter schedul"),
        ("ros2 param set /policy_node schedule rtc", "read-only"),
        ("ros2 node info /policy", "no node policy"),
        ("ros2 bag record -o x /joint_states /joint_command", "no topic joint_command"),
        ("ros2 bag replay x", "not known"),
        ("ros2 action info /arm_controller/follow_joint_trajectories", "no action"),
        ("ros2 action send_goal /move_action moveit_msgs/action/Move '{}'", "is of moveit_msgs"),
        ("ros2 nodes list", "not known"),
    ],
)
def test_a_misspelled_name_is_found(line, word):
    found = problem(line)
    assert word in found
    assert bool(found) == bool(word)
