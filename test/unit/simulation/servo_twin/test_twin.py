"""The twin as a host sees it: gravity, torque, limits, protections, power."""

import numpy as np
import pytest
from servo_hosts import IDS, Host

from so101.robot import JOINTS, so101
from so101.servos import packets
from so101.servos import registers as reg
from so101.servos.packets import ServoErrors
from so101.simulation.servo_twin.assembly import MIDDLE, Assembly

ELBOW = JOINTS.index("elbow_flex") + 1
PAN = JOINTS.index("shoulder_pan") + 1
LIFT = JOINTS.index("shoulder_lift") + 1


def hold(host):
    """Switch torque on where the arm is."""
    for servo, position in zip(IDS, host.twin.motors.positions, strict=True):
        host.put(reg.GOAL_POSITION, int(position), [servo])
    host.put(reg.TORQUE_ENABLE, 1)


def test_without_torque_the_arm_sags_and_with_torque_it_stands():
    limp, held = Host(), Host()
    hold(held)
    limp.wait(0.5)
    held.wait(0.5)
    sag = np.abs(limp.twin.plant.positions - so101().home)
    assert sag.max() > 0.1
    assert np.abs(held.twin.plant.positions - so101().home).max() < 0.01


def test_a_servo_goes_where_it_is_told_and_says_so():
    host = Host()
    hold(host)
    goal = host.get(reg.PRESENT_POSITION, PAN) + 300
    host.put(reg.GOAL_POSITION, goal, [PAN])
    host.wait(0.1)
    assert host.get(reg.MOVING, PAN) == 1
    assert host.get(reg.PRESENT_VELOCITY, PAN) > 500
    host.wait(1.0)
    assert abs(host.get(reg.PRESENT_POSITION, PAN) - goal) <= 3
    moved = host.twin.plant.positions[PAN - 1] - so101().home[PAN - 1]
    assert moved == pytest.approx(300 * reg.RAD_PER_TICK, abs=0.005)


def test_the_goals_speed_and_acceleration_are_kept():
    host = Host()
    hold(host)
    host.put(reg.ACCELERATION, 5, [PAN])
    host.put(reg.GOAL_VELOCITY, 400, [PAN])
    host.put(reg.GOAL_POSITION, MIDDLE + 600, [PAN])
    host.wait(0.3)
    assert 0 < host.twin.motors.velocity[PAN - 1] / reg.RAD_PER_TICK < 200
    host.wait(0.9)
    speed = host.twin.motors.velocity[PAN - 1] / reg.RAD_PER_TICK
    assert speed == pytest.approx(400, rel=0.1)


def test_a_weak_gain_holds_a_load_less_well():
    errors = {}
    for gain in (8, 32):
        host = Host(pose="zero")
        host.put(reg.P_COEFFICIENT, gain)
        hold(host)
        host.wait(1.0)
        errors[gain] = abs(host.twin.plant.positions[LIFT - 1] - so101().poses["zero"][LIFT - 1])
    assert errors[8] > 2 * errors[32] > 0.004


def test_a_torque_limit_is_obeyed_and_seen_in_the_load():
    host = Host(pose="zero")
    host.put(reg.TORQUE_LIMIT, 100)
    hold(host)
    host.wait(0.5)
    assert np.abs(host.twin.motors.duty).max() <= 0.1
    assert abs(host.get(reg.PRESENT_LOAD, LIFT)) == 100
    assert host.twin.plant.positions[LIFT - 1] != pytest.approx(0.0, abs=0.1)


def test_goals_beyond_the_position_limits_are_not_reached_for():
    host = Host()
    hold(host)
    host.put(reg.MAX_POSITION_LIMIT, MIDDLE + 100, [PAN])
    host.put(reg.GOAL_POSITION, MIDDLE + 900, [PAN])
    host.wait(1.0)
    assert host.get(reg.PRESENT_POSITION, PAN) == pytest.approx(MIDDLE + 100, abs=3)


def test_torque_on_moves_to_an_old_goal():
    """As a driver must expect: the first goal is for it to choose."""
    host = Host()
    host.put(reg.GOAL_POSITION, MIDDLE + 500, [PAN])
    host.wait(0.2)
    assert host.get(reg.PRESENT_POSITION, PAN) == pytest.approx(MIDDLE, abs=20)
    host.put(reg.TORQUE_ENABLE, 1, [PAN])
    host.wait(1.0)
    assert host.get(reg.PRESENT_POSITION, PAN) == pytest.approx(MIDDLE + 500, abs=20)


def test_pushing_for_too_long_is_an_overload_that_leaves_little_torque():
    host = Host()
    host.put(reg.PROTECTION_TIME, 50)
    host.put(reg.PROTECTION_CURRENT, 511)
    hold(host)
    host.command(f"hand {PAN} 0")
    host.put(reg.GOAL_POSITION, MIDDLE + 600, [PAN])
    host.wait(0.3)
    assert host.get(reg.STATUS, PAN) == 0
    host.wait(0.5)
    assert host.get(reg.STATUS, PAN) == ServoErrors.OVERLOAD
    (reply,) = host.ask(packets.ping(PAN))
    assert reply.code == ServoErrors.OVERLOAD
    assert abs(host.get(reg.PRESENT_LOAD, PAN)) == 200
    host.put(reg.GOAL_POSITION, MIDDLE - 300, [PAN])  # the other way: it pulls again
    host.wait(0.5)
    assert host.get(reg.STATUS, PAN) == 0


@pytest.mark.parametrize("unloads", [True, False])
def test_a_hot_servo_lets_go_only_if_it_may(unloads):
    host = Host()
    host.put(reg.UNLOADING_CONDITION, int(ServoErrors.TEMPERATURE) if unloads else 0)
    hold(host)
    host.wait(0.1)
    host.command(f"heat {ELBOW} 75 0.5")
    host.wait(0.2)
    assert 30 < host.get(reg.PRESENT_TEMPERATURE, ELBOW) < 70
    host.wait(0.5)
    assert host.get(reg.PRESENT_TEMPERATURE, ELBOW) == 75
    assert host.get(reg.STATUS, ELBOW) == ServoErrors.TEMPERATURE
    assert (host.twin.motors.duty[ELBOW - 1] == 0.0) == unloads
    assert host.twin.motors.duty[LIFT - 1] != 0.0


def test_the_supply_sags_under_load():
    host = Host()
    hold(host)
    host.command("hand all 0.05")
    for servo in IDS:
        host.put(reg.GOAL_POSITION, MIDDLE + 500, [servo])
    host.wait(0.5)
    assert host.get(reg.PRESENT_VOLTAGE) < 115
    assert host.get(reg.PRESENT_CURRENT) > 100


def test_a_brown_out_is_seen_and_a_loss_of_power_restarts_every_servo():
    host = Host()
    hold(host)
    host.command("voltage 3.8 0.2")
    host.wait(0.1)
    assert host.get(reg.PRESENT_VOLTAGE) == pytest.approx(38, abs=1)
    assert host.get(reg.STATUS) == ServoErrors.VOLTAGE
    host.wait(0.2)
    assert host.get(reg.PRESENT_VOLTAGE) > 115
    assert host.get(reg.TORQUE_ENABLE) == 1
    host.command("voltage 0 0.2")
    host.wait(0.3)
    assert host.ask(packets.ping(1)) == []
    host.wait(0.4)
    assert [host.get(reg.TORQUE_ENABLE, servo) for servo in IDS] == [0] * 6


def test_a_restarted_servo_is_limp_silent_for_a_moment_and_has_forgotten_its_ram():
    host = Host()
    host.put(reg.TORQUE_LIMIT, 400)
    hold(host)
    host.command("reboot elbow_flex")
    assert host.ask(packets.ping(ELBOW)) == []
    host.wait(0.4)
    assert host.get(reg.TORQUE_ENABLE, ELBOW) == 0
    assert host.get(reg.TORQUE_LIMIT, ELBOW) == 1000
    assert host.get(reg.TORQUE_ENABLE, PAN) == 1
    assert host.get(reg.TORQUE_LIMIT, PAN) == 400


def test_positions_wrap_within_one_turn_unless_the_phase_says_otherwise():
    host = Host(assembly=Assembly(is_calibrated=False))
    host.put(reg.HOMING_OFFSET, -2000, [PAN])
    host.command("jump shoulder_pan 100")
    host.wait(0.1)
    ticks = MIDDLE + Assembly().offsets[0] + 100 + 2000
    assert ticks > 4095
    assert host.get(reg.PRESENT_POSITION, PAN) == pytest.approx(ticks - 4096, abs=5)
    host.put(reg.PHASE, 12 | 16, [PAN])
    host.wait(0.1)
    assert host.get(reg.PRESENT_POSITION, PAN) == pytest.approx(ticks, abs=5)


def test_setting_the_middle_makes_the_present_position_2048():
    host = Host(assembly=Assembly(is_calibrated=False))
    host.put(reg.TORQUE_ENABLE, 128, [PAN])
    host.wait(0.01)
    assert host.get(reg.PRESENT_POSITION, PAN) == pytest.approx(2048, abs=2)
    assert host.get(reg.TORQUE_ENABLE, PAN) == 0


def test_the_calibration_says_where_the_joints_are():
    host = Host()
    hold(host)
    host.wait(0.3)
    middles = Assembly().middles
    positions = [host.get(reg.PRESENT_POSITION, servo) for servo in IDS]
    measured = (np.array(positions) - MIDDLE) * reg.RAD_PER_TICK + middles
    np.testing.assert_allclose(measured, host.twin.plant.positions, atol=0.005)


def test_the_same_seed_and_the_same_requests_give_the_same_bytes():
    def run():
        host = Host(seed=7)
        host.command("drop 0.2")
        hold(host)
        sent = []
        for _ in range(30):
            host.send(packets.sync_read(56, 15, IDS))
            host.wait(0.01)
            sent.append(host.bus.take(host.now_ns))
        return sent

    assert run() == run()


def test_time_that_was_lost_is_counted_and_not_made_up_for():
    host = Host()
    host.twin.advance(10_000_000_000)
    assert host.twin.lost_steps == 10 * 300 - 150
