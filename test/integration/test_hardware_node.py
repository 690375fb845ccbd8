"""The hardware node as a process, with the servo twin on a pty: the whole way of a real arm."""

import json
import signal
import subprocess
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from trajectory_controller import TrajectoryController
from twin_process import Program, Twin, hardware_node

from so101.clock import nanoseconds, seconds
from so101.control.retiming import stay_at
from so101.control.trajectory import JointTrajectory
from so101.events import Event, from_message
from so101.objections import NO_ARMING, NO_EPISODE
from so101.robot import GRIPPER, JOINTS, so101
from so101.ros.convert import (
    from_joint_command,
    from_joint_state,
    to_event,
    to_joint_command,
)
from so101.ros.endpoints import Endpoints
from so101.ros.interfaces import interface_class
from so101.ros.spin import Spinner, wait_for_matched
from so101.services import SERVICES
from so101.topics import (
    ARM_SETPOINTS,
    ARM_STATE,
    ARM_STATES_RAW,
    ARM_TRAJECTORY,
    CONTROLLER_TRAJECTORY,
    DIAGNOSTICS,
    JOINT_COMMANDS,
    JOINT_STATES,
    ROBOT_DESCRIPTION,
)

SPEC = so101()
PATIENCE_S = 60.0


class Person:
    """Listens to the arm and asks things of it."""

    def __init__(self, node):
        self.node, self.endpoints = node, Endpoints(node)
        self.states, self.commands, self.modes, self.told = [], [], [], {}
        self.lags_s = []
        self.endpoints.offer(ARM_TRAJECTORY, DIAGNOSTICS)
        self.endpoints.listen(JOINT_STATES, self._on_state)
        self.endpoints.listen(
            JOINT_COMMANDS, lambda m: self.commands.append(from_joint_command(m))
        )
        self.endpoints.listen(ARM_STATE, lambda m: self.modes.append(from_message(m)))
        self.endpoints.listen(ROBOT_DESCRIPTION, lambda m: self.told.update(urdf=m.data))
        self.endpoints.listen(DIAGNOSTICS, self._on_diagnostics)
        self.clients = {
            name: node.create_client(interface_class(SERVICES[name].type), name)
            for name in ("arm/arm", "arm/estop", "arm/torque", "arm/recover")
        }
        self.spinner = Spinner(node)

    def _on_state(self, message):
        self.states.append(from_joint_state(message))
        self.lags_s.append(seconds(time.time_ns() - self.states[-1][0]))

    def _on_diagnostics(self, message):
        event = from_message(message)
        self.told[event.name] = event

    def match(self, without=None):
        publishers = [p for p in self.node.publishers if p.topic_name.endswith("trajectory")]
        awaited = [s for s in self.node.subscriptions if s.topic_name != without]
        wait_for_matched(self.spinner, publishers, awaited, self.clients.values())

    def until(self, is_so):
        assert self.spinner.spin_until(is_so, PATIENCE_S), [m.message for m in self.modes[-5:]]

    def ask(self, name, value=None):
        client = self.clients[name]
        request = client.srv_type.Request()
        if value is not None:
            request.data = value
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def must(self, name, value=None):
        answer = self.ask(name, value)
        assert answer.success, answer.message
        return answer.message

    def arm(self):
        """Arm it, as a person would: again, when a busy machine had disturbed it before."""
        end_s = time.monotonic() + PATIENCE_S
        while not (answer := self.ask("arm/arm", True)).success:
            assert time.monotonic() < end_s, answer.message
            if self.mode == "fault":
                self.ask("arm/recover")
        self.until(lambda: self.mode == "holding")

    def objects(self, words):
        """Say what a camera says that another one's view is in front of."""
        event = Event(stamp_ns=1, name="wrist_camera: camera", values={NO_ARMING: words})
        self.endpoints.publish(DIAGNOSTICS, to_event(event))

    def is_refused(self, words):
        """Object, and ask to arm; tell whether it is refused for that."""
        self.objects(words)
        answer = self.ask("arm/arm", True)
        return not answer.success and f"wrist_camera: camera: {words}" in answer.message

    def follow(self, goal, duration_s):
        self.endpoints.command(
            ARM_TRAJECTORY,
            JointTrajectory(
                stamp_ns=0,
                joints=JOINTS,
                times_ns=(nanoseconds(duration_s),),
                positions=np.array([goal]),
                source="motion",
            ),
        )

    def follow_until(self, goal, duration_s, is_so):
        """Follow, again where a busy machine made the controller so late that the arm held."""
        end_s = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end_s, [m.message for m in self.modes[-5:]]
            if self.mode not in ("armed", "holding"):
                self.arm()
            self.follow(goal, duration_s)
            sent = len(self.commands)
            self.until(lambda: is_so() or self.stands(sent + 30))  # noqa: B023  same round

    def stands(self, since):
        """Tell whether half a second of commands after a number of them are the same."""
        return len(self.commands) > since + 30 and all(
            (position == self.commands[-1][1]).all() for _, position in self.commands[-30:]
        )

    @property
    def mode(self):
        return self.modes[-1].message if self.modes else ""


@pytest.fixture
def person(make_person_node):
    person = Person(make_person_node)
    yield person
    person.spinner.close()


@pytest.fixture
def make_person_node(ros_context):
    from rclpy.node import Node

    node = Node("person", context=ros_context, use_global_arguments=False)
    yield node
    node.destroy_node()


@pytest.fixture
def twin(tmp_path):
    with Twin(tmp_path) as twin:
        yield twin


@pytest.fixture
def arm(twin, ros_domain):
    with hardware_node(twin, ros_domain) as node:
        yield node


def truth(twin):
    return json.loads(twin.command("state"))


@pytest.mark.case(3, 23, 31)
@pytest.mark.timeout(300)
def test_a_whole_evening(twin, arm, person):
    """Inert, armed, moved, stopped, unplugged, brought back, put down: one life of the node."""
    person.match()
    person.until(lambda: len(person.states) > 60 and person.mode == "disarmed")
    assert not any(truth(twin)["torque"])
    assert "<robot" in person.told["urdf"]
    person.follow(SPEC.home + 0.1, 0.5)  # refused: nobody armed it
    person.until(lambda: person.is_refused("sees what the front camera saw"))
    person.objects("")
    person.arm()
    assert all(truth(twin)["torque"])

    goal = SPEC.home + np.array([0.4, 0.1, -0.2, -0.2, 0.5, 0.3])
    person.follow(goal, 1.0)
    person.until(lambda: person.commands and np.allclose(person.commands[-1][1], goal))
    person.until(lambda: np.abs(person.states[-1][1].positions - goal).max() < 0.05)
    assert np.array(truth(twin)["positions"]) == pytest.approx(goal, abs=0.06)
    stamps = np.diff([stamp for stamp, _ in person.commands])
    assert (stamps > 0).all()
    assert abs(min(person.lags_s)) < 0.1  # stamps are dates; the one held up least says so

    person.follow(SPEC.home, 3.0)
    person.until(lambda: person.mode == "armed")
    person.must("arm/estop", True)
    assert person.ask("arm/arm", True).message.startswith("arm: cannot arm while estopped")
    person.until(lambda: np.abs(person.states[-1][1].velocities).max() < 0.02)
    assert all(truth(twin)["torque"])
    person.must("arm/recover")
    person.arm()

    twin.command("close")
    person.until(lambda: person.mode == "fault")
    heard = len(person.states)
    twin.command("open")
    person.until(lambda: len(person.states) > heard + 30)
    assert person.mode == "fault"
    before = np.array(truth(twin)["positions"])
    person.arm()
    person.until(lambda: len(person.states) > heard + 60)
    assert np.abs(np.array(truth(twin)["positions"]) - before).max() < 0.06
    servos = person.told["hardware_node: servos"]
    assert 20.0 < float(servos.values["gripper: temperature [°C]"]) < 60.0
    assert NO_EPISODE in servos.values
    assert servos.hardware_id == str(twin.port)

    assert arm.end(signal.SIGINT) == 0
    said, final = arm.process.stderr.read(), truth(twin)
    if "fault: the arm holds where it is" in said:  # a machine too busy for the twin to answer
        assert all(final["torque"])
        return
    assert "at rest, the arm is loose" in said
    rest = SPEC.poses["rest"]
    assert np.array(final["positions"])[:GRIPPER] == pytest.approx(rest[:GRIPPER], abs=0.2)
    assert not any(final["torque"])


@pytest.mark.case(46)
@pytest.mark.timeout(200)
def test_a_killed_driver_leaves_the_arm_near_where_it_was_and_holding(twin, arm, person):
    person.match()
    person.until(lambda: person.mode == "disarmed")
    person.arm()
    goal = SPEC.home + np.array([1.2, 0.0, 0.0, 0.0, 1.2, 0.0])
    person.follow(goal, 1.0)
    person.until(lambda: np.abs(person.commands[-1][1] - SPEC.home).max() > 0.3)
    arm.end(signal.SIGKILL)
    at_kill = np.array(truth(twin)["positions"])
    end_s = time.monotonic() + 10.0
    while np.abs((state := truth(twin))["velocities"]).max() > 0.02:
        assert time.monotonic() < end_s
    assert all(state["torque"])
    assert np.abs(np.array(state["positions"]) - at_kill).max() <= 0.35


@pytest.mark.case(9, 45)
@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"port": ""}, "name the adapter"),
        ({"port": "/dev/nowhere"}, "there is no such device"),
        ({"calibration": "/nowhere.json"}, "/nowhere.json"),
        ({"calibration": ""}, "parameter calibration: name this arm's file"),
        ({"write_eeprom": False}, "wanted 16"),
    ],
)
def test_an_arm_that_is_not_as_wanted_ends_the_node_with_one_line(twin, ros_domain, params, words):
    with hardware_node(twin, ros_domain, **params) as node:
        _, errors = node.process.communicate(timeout=60.0)
        assert node.process.returncode == 2
    (line,) = (line for line in errors.splitlines() if "error:" in line)
    assert words in line
    assert not any(truth(twin)["torque"])


class Controller:
    """A controller behind ros2_control's topic hardware, in the person's process."""

    def __init__(self, node):
        self.endpoints = Endpoints(node)
        self.endpoints.offer(ARM_SETPOINTS)
        self.endpoints.listen(ARM_STATES_RAW, self._on_state)
        self.endpoints.follow(CONTROLLER_TRAJECTORY, self._on_trajectory)
        self.controller = TrajectoryController(np.zeros(len(JOINTS)))  # until the first reading
        self.is_active, self.is_alive, self.raw = False, True, 0
        node.create_timer(0.01, self._on_update)

    def _on_state(self, message):
        self.raw += 1
        if not self.is_active:
            self.is_active = True
            self.controller.desired = from_joint_state(message)[1].positions.copy()

    def _on_trajectory(self, trajectory):
        self.controller.take(trajectory, time.monotonic_ns())

    def _on_update(self):
        if self.is_active and self.is_alive:
            setpoint = self.controller.sample(time.monotonic_ns())
            self.endpoints.publish(ARM_SETPOINTS, to_joint_command(0, setpoint))


@pytest.mark.timeout(200)
def test_through_ros2_control_and_the_gate(twin, ros_domain, person):
    """Trajectories by way of a controller; without it the arm holds."""
    controller = Controller(person.node)
    with hardware_node(twin, ros_domain, use_ros2_control=True) as arm:
        person.until(lambda: controller.raw > 30 and person.modes)
        person.match(without="/robot_description")
        assert person.states, "joint_states are the driver's, with its stamps"
        assert "urdf" not in person.told, "without a ros2_control part it ends controller managers"
        person.arm()
        goal = SPEC.home + np.array([0.4, 0.1, -0.2, -0.2, 0.5, 0.3])
        at_goal = lambda: np.allclose(person.commands[-1][1], goal, atol=1e-6)  # noqa: E731
        person.follow_until(goal, 1.0, at_goal)
        assert controller.controller.refused == []

        is_away = lambda: np.abs(person.commands[-1][1] - goal).max() > 0.05  # noqa: E731
        person.follow_until(SPEC.home, 3.0, is_away)
        controller.is_alive = False
        sent = len(person.commands)
        person.until(lambda: person.stands(sent))
        held = person.commands[-1][1]
        assert np.abs(person.commands[-1][1] - SPEC.home).max() > 0.05, "it stopped on the way"

        controller.is_alive, controller.controller.desired = True, np.zeros(len(JOINTS))
        controller.controller.take(stay_at(np.zeros(len(JOINTS)), JOINTS), 0)
        heard = len(person.commands)
        person.until(lambda: len(person.commands) > heard + 20)
        np.testing.assert_array_equal(person.commands[heard + 10][1], held)
        assert arm.end(signal.SIGINT) == 0
        said = arm.process.stderr.read()
    if all(mode.message != "fault" for mode in person.modes):  # a twin too busy to answer
        assert "the controller is silent" in said
        assert "rad from where the arm is" in said


@pytest.mark.case(45)
@pytest.mark.timeout(100)
def test_a_file_with_a_mistake_ends_the_node_before_it_asks_a_servo(twin, ros_domain, tmp_path):
    path, given = tmp_path / "mine.yaml", ["-p", f"port:={twin.port}"]
    given += ["-p", f"calibration:={twin.calibration}", "-p", "write_eeprom:=true"]
    mistakes = {
        "torque_limits: 500": "unknown key 'torque_limits', did you mean 'torque_limit'?",
        "warm: 50.0\n    warm: 51.0": "line 4: duplicate key 'warm'",
    }
    for text, words in mistakes.items():
        path.write_text(f"hardware_node:\n  ros__parameters:\n    {text}\n")
        argv = ["-m", "hardware_node.node", "--ros-args", *given, "--params-file", str(path)]
        with Program(argv, ros_domain, stderr=subprocess.PIPE) as node:
            _, errors = node.process.communicate(timeout=60.0)
            assert node.process.returncode == 2
        (line,) = (line for line in errors.splitlines() if "error:" in line)
        assert words in line
        assert not any(truth(twin)["torque"])
    assert truth(twin)["requests"] == 0


def test_no_torch_and_no_lerobot_in_the_process():
    code = (
        "import sys, hardware_node.node;"
        "sys.exit(', '.join({'torch', 'lerobot', 'cv2', 'gymnasium'} & set(sys.modules)) or 0)"
    )
    with Program(["-c", code]) as program:
        assert program.process.wait(60.0) == 0
