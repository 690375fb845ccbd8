"""The laws of a servo, each by itself, over arrays of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from so101.servos.registers import RAD_PER_TICK, STALL_TORQUE
from so101.simulation.servo_twin import laws

STEP_S = 1 / 300
ticks = st.floats(0, 4095)
speeds = st.floats(500, 3200)
accelerations = st.one_of(st.just(np.inf), st.floats(2000, 25400))


def walk(start, goal, max_speed, acceleration, steps):
    """Return set points and speeds, step by step."""
    setpoint, speed = np.array([start]), np.zeros(1)
    limits = np.array([max_speed]), np.array([acceleration])
    path = [(setpoint, speed)]
    for _ in range(steps):
        setpoint, speed = laws.follow_profile(setpoint, speed, np.array([goal]), *limits, STEP_S)
        path.append((setpoint, speed))
    return np.array(path)[:, :, 0].T


@given(ticks, ticks, speeds, accelerations)
def test_a_profile_keeps_its_limits_and_ends_at_its_goal(start, goal, max_speed, acceleration):
    needed_s = abs(goal - start) / max_speed + 2 * max_speed / min(acceleration, 1e9)
    path, speed = walk(start, goal, max_speed, acceleration, int(1.5 * needed_s / STEP_S) + 60)
    assert np.abs(speed).max() <= max_speed * (1 + 1e-9)
    assert path[-1] == goal
    assert speed[-1] == 0.0
    # Only the step that arrives may stop what is left of the speed.
    changes = np.abs(np.diff(speed))[path[1:] != goal]
    assert changes.max(initial=0.0) <= acceleration * STEP_S * (1 + 1e-9)
    slack = max_speed * STEP_S
    assert path.min() >= min(start, goal) - slack
    assert path.max() <= max(start, goal) + slack


def test_more_acceleration_is_never_slower():
    arrival = [
        int(np.argmax(walk(0.0, 1000.0, 1500.0, acceleration, 3000)[0] == 1000.0))
        for acceleration in (300.0, 1000.0, 5000.0, np.inf)
    ]
    assert arrival == sorted(arrival, reverse=True)
    assert arrival[0] > 1.5 * arrival[-1]


def control(error, velocity=0.0, p=16.0, d=32.0, dead_zone=1.0, startup=0.016):
    arguments = (error, velocity, p, d, dead_zone, startup)
    return float(laws.control(*(np.array([value]) for value in arguments))[0])


@given(st.floats(-400, 400), st.floats(-5, 5))
def test_control_is_odd(error, velocity):
    assert control(-error, -velocity) == -control(error, velocity)


def test_control_pulls_towards_the_goal_and_brakes_motion():
    assert control(20) > 0 > control(-20)
    assert control(20, velocity=1.0) < control(20)
    assert control(1) == control(-1) == 0.0
    assert control(2) >= 0.016


def test_lerobots_gain_is_half_of_the_shipped_one():
    assert control(100, p=16, startup=0.0) == 0.5 * control(100, p=32, startup=0.0)
    # The shipped gain is the 200 N·m/rad of the simulation's own arm.
    pull = control(10, p=32, startup=0.0) * STALL_TORQUE
    np.testing.assert_allclose(pull, 200 * 10 * RAD_PER_TICK)


def test_full_duty_gives_the_stall_torque_and_current_and_both_fall_with_the_voltage():
    full, still, driven = np.ones(1), np.zeros(1), np.ones(1, dtype=bool)
    assert laws.torque(full, 12.0)[0] == STALL_TORQUE
    assert laws.torque(full, 6.0)[0] == STALL_TORQUE / 2
    assert laws.current(full, still, 12.0, driven)[0] == laws.STALL_CURRENT
    assert laws.current(full, still, 6.0, driven)[0] == laws.STALL_CURRENT / 2
    assert laws.current(full, still, 12.0, ~driven)[0] == 0.0
    assert abs(laws.current(full, full * laws.NO_LOAD_SPEED, 12.0, driven)[0]) < 1e-12


def test_holding_half_an_ampere_ends_near_what_users_measure():
    temperature = np.full(1, laws.AMBIENT)
    for _ in range(2 * 3600):
        temperature = laws.warm(temperature, np.full(1, 0.5), 1.0)
    assert 45.0 < temperature[0] < 50.0
    for _ in range(4 * 3600):
        temperature = laws.warm(temperature, np.zeros(1), 1.0)
    np.testing.assert_allclose(temperature, laws.AMBIENT, atol=0.1)


def test_time_above_a_limit_counts_only_without_a_break():
    time_s = np.zeros(1)
    for is_exceeded in (True, True, False, True):
        time_s = laws.count_time(time_s, np.array([is_exceeded]), 0.1)
    np.testing.assert_allclose(time_s, 0.1)
