"""Faults of the bus and the servos, on the twin's physics: what the arm does, and how soon."""

import numpy as np
import pytest
from virtual_twin import SPEC, TwinRig

from hardware_node.boot import compare
from so101.clock import CONTROL_HZ, nanoseconds, seconds
from so101.control.arm_mode import ArmMode
from so101.errors import HardwareError, TrajectoryError
from so101.robot import JOINTS
from so101.servos import registers as reg

LEAD_RAD = 0.3
"""Furthest goal from the measured pose: the velocity limit times 0.1 s."""

WAYS = SPEC.home + np.array([[0.6, 0.3, -0.4, 0.2, 0.5, 0.3], [-0.6, -0.1, 0.2, -0.3, -0.5, 0.0]])


@pytest.fixture
def rig(tmp_path):
    return TwinRig(tmp_path / "arm.json")


def until_fault(rig, limit_s):
    """Tick until the arm is at fault; return the time it took [s]."""
    began_ns = rig.port.clock_ns
    while rig.loop.mode is not ArmMode.FAULT:
        assert seconds(rig.port.clock_ns - began_ns) < limit_s + 0.1, rig.loop.mode
        rig.tick()
    return seconds(rig.port.clock_ns - began_ns)


def track(rig):
    """Follow a way there and back; return the tracking errors [rad] of every tick."""
    rig.follow(WAYS, 2.0)
    errors = []
    while rig.loop.mode is ArmMode.ARMED:
        tick = rig.tick()
        errors.append(tick.command - tick.state.positions)
    return np.array(errors)


def rms(errors):
    return float(np.sqrt(np.mean(errors**2)))


def test_servos_from_the_factory_are_set_up_once_and_for_good(rig):
    assert compare(rig.arm.bus, rig.calibration) == ()
    rig.port.run("reboot all")
    rig.tick(60)
    assert compare(rig.arm.bus, rig.calibration) == ()


def test_arming_does_not_move_the_arm(tmp_path):
    rig = TwinRig(tmp_path / "arm.json", pose=SPEC.poses["rest"], is_armed=False)
    rig.tick(60)
    before = rig.truth
    rig.switch_on()
    rig.tick(60)
    assert np.abs(rig.truth - before).max() < 0.02
    assert rig.loop.mode is ArmMode.HOLDING


@pytest.mark.case(1)
def test_case_1_five_percent_of_lost_replies_change_nothing(tmp_path):
    calm = track(TwinRig(tmp_path / "calm.json"))
    rig = TwinRig(tmp_path / "arm.json")
    rig.port.run("drop 0.025")
    rig.port.run("corrupt 0.025")
    assert rms(track(rig)) == pytest.approx(rms(calm), rel=0.05)
    assert rig.reason == "the trajectory ended"
    assert rig.arm.bus.counts.lost > 0
    assert rig.arm.bus.counts.corrupt > 0


@pytest.mark.case(2)
def test_case_2_a_silent_bus_is_a_fault_within_100_ms_and_nothing_is_sent(rig):
    rig.follow(WAYS, 2.0)
    rig.tick(20)
    rig.port.run("silent")
    assert until_fault(rig, 0.1) <= 0.1
    goals = rig.state["goals"]
    rig.tick(30)
    assert rig.state["goals"] == goals


@pytest.mark.case(3)
def test_case_3_after_a_pulled_plug_only_a_person_lets_it_move_again(rig):
    rig.follow(WAYS, 2.0)
    rig.tick(20)
    rig.port.run("close")
    assert until_fault(rig, 0.02) <= 0.02
    rig.port.run("open")
    rig.tick(60)
    rig.attach()
    rig.tick(60)
    assert rig.loop.mode is ArmMode.FAULT
    rig.loop.recover()
    before = rig.truth
    rig.switch_on()
    rig.tick(30)
    assert rig.loop.mode is ArmMode.HOLDING
    assert np.abs(rig.truth - before).max() < 0.05


@pytest.mark.case(4)
@pytest.mark.parametrize("ticks", [1000, 3000])  # 3000 more wrap around the turn's end
@pytest.mark.parametrize("joint", range(6))
def test_case_4_an_encoder_that_jumps_is_a_fault_and_no_command_comes_of_it(rig, joint, ticks):
    before = rig.tick(5)
    goals = rig.state["goals"]
    rig.port.run(f"jump {JOINTS[joint]} {ticks}")
    assert until_fault(rig, 0.1) <= 0.1
    assert f"{JOINTS[joint]}: its encoder jumped" in rig.reason
    after = rig.tick(2)
    assert np.array_equal(after.command, before.command)
    assert rig.state["goals"] == goals


@pytest.mark.case(5)
@pytest.mark.parametrize("joint", range(5))
def test_case_5_an_encoder_that_freezes_on_the_way_is_a_fault_within_300_ms(rig, joint):
    goal = SPEC.home.copy()
    goal[joint] += 1.0 if goal[joint] < 0.5 else -1.0
    rig.follow(goal, 1.5)
    rig.tick(30)
    rig.port.run(f"freeze {JOINTS[joint]}")
    assert until_fault(rig, 0.3) <= 0.3
    assert f"{JOINTS[joint]}: does not follow" in rig.reason
    assert all(rig.state["torque"])


@pytest.mark.case(7)
def test_case_7_a_brown_out_stops_the_arm(rig):
    rig.follow(WAYS, 2.0)
    rig.tick(20)
    rig.port.run("voltage 5.5 0.2")
    assert until_fault(rig, 0.2) <= 0.2
    assert "5.5 V, expected at least 9.6 V" in rig.reason
    rig.tick(60)
    assert rig.loop.mode is ArmMode.FAULT


@pytest.mark.case(8)
def test_case_8_an_overloaded_joint_lets_go_and_the_third_time_asks_for_a_person(rig):
    for count in (1, 2):
        pushed = rig.tick().command[1]
        rig.port.run("overload shoulder_lift 0.1")
        tick = rig.tick(30)
        assert rig.loop.mode is ArmMode.HOLDING
        assert np.radians(2.0) <= abs(tick.command[1] - pushed) < LEAD_RAD
        assert rig.arm.overloads[1] == count
    rig.port.run("overload shoulder_lift 0.1")
    until_fault(rig, 0.1)
    assert "shoulder_lift: overloaded 3 times" in rig.reason


@pytest.mark.case(9)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("missing elbow_flex", "elbow_flex: no servo has the id 3"),
        ("id wrist_flex 3", "id 3 answers what cannot be read: two servos have this id"),
        ("register gripper model_number 1029", r"gripper \(id 6\) is model 1029"),
        ("register elbow_flex max_position_limit 4095", "max_position_limit is 4095, wanted"),
        ("register shoulder_pan homing_offset 0", "shoulder_pan .*homing_offset is 0, wanted 310"),
    ],
)
def test_case_9_servos_that_are_not_as_wanted_are_not_armed(tmp_path, fault, words):
    rig = TwinRig(tmp_path / "arm.json", is_armed=False)
    rig.port.run(fault)
    with pytest.raises(HardwareError, match=words):
        rig.arm.check()
    assert not any(rig.state["torque"])


@pytest.mark.case(10)
@pytest.mark.parametrize("joint", range(6))
def test_case_10_a_restarted_servo_is_found_within_a_second_and_set_up_again(rig, joint):
    rig.tick(10)
    rig.port.run(f"reboot {JOINTS[joint]}")
    assert until_fault(rig, 1.0) <= 1.0
    rig.tick(120)
    rig.loop.recover()
    rig.switch_on()
    rig.tick(60)
    assert rig.loop.mode is ArmMode.HOLDING
    assert all(rig.state["torque"])
    memory = rig.port.bus.twin.memories[joint]
    assert memory.get(reg.TORQUE_LIMIT) == (400 if joint == 5 else 700)


@pytest.mark.case(11)
def test_case_11_a_chunk_with_one_bad_number_is_refused_and_the_one_before_ends_in_hold(rig):
    """Not a single goal comes of it: those that follow are the good chunk's."""
    calm = TwinRig(rig.path)
    goals = {}
    for one in (calm, rig):
        one.follow(WAYS[0], 0.5)
        one.tick(10)
        if one is rig:
            for bad in (np.nan, np.inf, -np.inf, 1e9, 2.0**31 * 0.0015):
                wrong = WAYS[1].copy()
                wrong[2] = bad
                with pytest.raises(TrajectoryError, match=r"not all finite|positions reach"):
                    one.follow(wrong, 0.5)
        goals[one] = [one.tick() and one.state["goals"] for _ in range(50)]
    assert goals[rig] == goals[calm]
    assert rig.loop.mode is ArmMode.HOLDING
    assert rig.loop.refused == {"invalid": 5}


@pytest.mark.case(14)
@pytest.mark.parametrize("factor", [10, 100])
def test_case_14_a_chunk_far_too_fast_is_followed_within_the_limits(rig, factor):
    """As sent to the servos, which round to ticks, and as the arm really moves."""
    rig.tick(10)
    rig.follow(WAYS[0], 1.0 / factor)
    goals, truth = [], []
    while rig.loop.mode is ArmMode.ARMED:
        rig.tick()
        goals.append(rig.calibration.to_rad(np.array(rig.state["goals"])))
        truth.append(rig.truth)
    tick_rad = rig.calibration.rad_per_tick
    for order, limit in ((1, SPEC.max_velocity), (2, SPEC.max_acceleration)):
        made = np.abs(np.diff(goals, n=order, axis=0)).max(axis=0)
        assert (made <= limit / CONTROL_HZ**order + 2**order * tick_rad / 2 + 1e-9).all(), order
    speeds = np.abs(np.diff(truth, axis=0)) * CONTROL_HZ
    assert speeds.max() > 1.0
    assert (speeds <= 1.2 * SPEC.max_velocity + 0.1).all()
    rig.tick(30)  # the arm follows its goals late
    assert np.abs(rig.truth - WAYS[0]).max() < 0.02


@pytest.mark.case(46)
@pytest.mark.parametrize("seed", range(3))
def test_whenever_the_driver_dies_its_last_goals_are_near(tmp_path, seed):
    """The servos go to their last goals and stay: they must be near wherever the arm is then."""
    rig = TwinRig(tmp_path / "arm.json")
    rng = np.random.default_rng(seed)
    worst = 0.0
    for _ in range(12):
        goal = rng.uniform(SPEC.lower, SPEC.upper)
        goal[1:4] = SPEC.home[1:4] + rng.uniform(-0.5, 0.3, 3)
        rig.follow(goal, 0.3)
        for _ in range(20):
            tick = rig.tick()
            worst = max(worst, float(np.abs(tick.command - tick.state.positions).max()))
            sent = rig.calibration.to_rad(np.array(rig.state["goals"]))
            assert np.abs(sent - tick.command).max() < 1e-3
    assert LEAD_RAD / 2 < worst <= LEAD_RAD + 1e-9


def test_a_tick_asks_for_little_of_its_period(rig):
    """Reading, slow registers and writing take 5 ms at an adapter of 1 ms, of 16.7."""
    began_ns = rig.port.clock_ns
    rig.port.advance(began_ns + nanoseconds(0.01))
    began_ns = rig.port.clock_ns
    rig.loop.tick(began_ns)
    assert rig.port.clock_ns - began_ns < nanoseconds(0.006)
