"""What an STS3215 does, as laws over arrays of servos: profile, control, current, heat.

Measured where figures are known, plausible elsewhere; each constant says which. Not modelled: the
integral gain, the operating modes beside position, and backlash, which an encoder on the output
shaft does not see.
"""

import numpy as np

from so101.arrays import BoolArray, FloatArray
from so101.servos.registers import RAD_PER_TICK, STALL_TORQUE

NOMINAL_VOLTAGE = 12.0
STALL_CURRENT = 2.7
"""At nominal voltage and full duty [A], of the data sheet."""
NO_LOAD_SPEED = 4.9
"""At nominal voltage [rad/s]: stall torque over the MJCF's damping, which stands for back-EMF."""
STIFFNESS_PER_P = 6.25
"""[N·m/rad] per count: at the shipped 32 the 200 of the MJCF, at LeRobot's 16 twice the lag."""
DAMPING_PER_D = 6.0 / 32.0
"""[N·m·s/rad] per count: at 32 the MJCF's 6."""
WINDING_RESISTANCE = NOMINAL_VOLTAGE / STALL_CURRENT
AMBIENT = 25.0
THERMAL_RESISTANCE = 20.0
"""[K/W]: holding half an ampere ends near 48 °C, as users measure."""
HEAT_CAPACITY = 50.0
"""[J/K]: 55 g of metal and plastic; so a servo needs a quarter of an hour to warm up."""
SUPPLY_RESISTANCE = 0.15
"""Of cable and supply [Ω]: six stalling servos cost two volts."""


def follow_profile(
    setpoint: FloatArray,
    speed: FloatArray,
    goal: FloatArray,
    max_speed: FloatArray,
    acceleration: FloatArray,
    step_s: float,
) -> tuple[FloatArray, FloatArray]:
    """Move set points towards their goals with limited speed and acceleration.

    Args:
        setpoint: Where they are [ticks]. Shape (servos,), like the others.
        speed: Their speed [ticks/s].
        goal: Where they go [ticks].
        max_speed: [ticks/s], positive.
        acceleration: [ticks/s²]; infinite: none is needed.
        step_s: Time that passes [s].

    Returns:
        New set points and speeds; a set point that reaches its goal stands.
    """
    away = goal - setpoint
    distance = np.abs(away)
    # From this speed the set point can still stop at the goal; with any acceleration, at once.
    braking = np.sqrt(2.0 * np.minimum(acceleration, 1e12) * distance)
    wanted = np.sign(away) * np.minimum(max_speed, braking)
    change = np.minimum(acceleration * step_s, 1e12)
    speed = speed + np.minimum(np.maximum(wanted - speed, -change), change)
    moved = speed * step_s
    has_arrived = (np.abs(moved) >= distance) & (moved * away >= 0.0)
    return (
        np.where(has_arrived, goal, setpoint + moved),
        np.where(has_arrived, 0.0, speed),
    )


def control(
    error: FloatArray,
    velocity: FloatArray,
    p: FloatArray,
    d: FloatArray,
    dead_zone: FloatArray,
    startup: FloatArray,
) -> FloatArray:
    """Return the duty that position control asks for, before any limit.

    Args:
        error: Set point minus encoder [ticks]. Shape (servos,), like the others.
        velocity: [rad/s].
        p: Proportional coefficient.
        d: Derivative coefficient; it brakes the motion, not the error.
        dead_zone: Errors up to this cause nothing [ticks].
        startup: Least duty that an error causes.
    """
    pull = (STIFFNESS_PER_P * RAD_PER_TICK / STALL_TORQUE) * p * error
    pull = np.sign(error) * np.maximum(np.abs(pull), startup)
    pull = np.where(np.abs(error) > dead_zone, pull, 0.0)
    return pull - (DAMPING_PER_D / STALL_TORQUE) * d * velocity


def torque(duty: FloatArray, voltage: float) -> FloatArray:
    """Return the motors' torque, back-EMF not yet taken off [N·m]. Shape (servos,)."""
    return duty * (STALL_TORQUE * voltage / NOMINAL_VOLTAGE)


def current(
    duty: FloatArray, velocity: FloatArray, voltage: float, is_driven: BoolArray
) -> FloatArray:
    """Return the motors' currents, signed [A]; none flows where the bridge is open."""
    driven = duty * (voltage / NOMINAL_VOLTAGE) - velocity / NO_LOAD_SPEED
    return np.where(is_driven, STALL_CURRENT * driven, 0.0)


def warm(temperature: FloatArray, amperes: FloatArray, step_s: float) -> FloatArray:
    """Return the temperatures after a time with these currents [°C]."""
    heating = WINDING_RESISTANCE * amperes * amperes
    cooling = (temperature - AMBIENT) / THERMAL_RESISTANCE
    return temperature + (heating - cooling) * (step_s / HEAT_CAPACITY)


def count_time(seconds: FloatArray, is_exceeded: BoolArray, step_s: float) -> FloatArray:
    """Return for how long each limit has been exceeded without a break [s]."""
    return np.where(is_exceeded, seconds + step_s, 0.0)
