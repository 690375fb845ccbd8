"""What the driver says of itself on ``diagnostics``, once a second."""

from dataclasses import asdict

from hardware_node.driver import Driver
from hardware_node.health import Judgement
from so101.control.arm_mode import ArmMode
from so101.events import ERROR, Event, encode
from so101.objections import NO_EPISODE
from so101.robot import JOINTS

NAME = "hardware_node: servos"


def diagnostics_of(driver: Driver, judgement: Judgement, stamp_ns: int) -> Event:
    """Return temperature, voltage, current and error bits of every joint, and the bus's counts.

    Args:
        driver: The arm.
        judgement: What is warned of.
        stamp_ns: Now [ns].
    """
    arm, vitals = driver.arm, driver.arm.vitals
    state = driver.loop.state_event(stamp_ns)
    columns = {
        "temperature [°C]": vitals.temperature,
        "voltage [V]": vitals.voltage,
        "current [A]": vitals.current,
        "error bits": vitals.errors,
    }
    values = {
        f"{joint}: {what}": encode(round(float(column[number]), 3))
        for what, column in columns.items()
        for number, joint in enumerate(JOINTS)
    }
    overloads = zip(JOINTS, arm.overloads, strict=True)
    values |= {f"{joint}: overloads": encode(count) for joint, count in overloads}
    bus = arm.bus
    if bus is not None:
        values["port"] = bus.name
        values |= {f"bus: {what}": encode(count) for what, count in asdict(bus.counts).items()}
    values["readings missed"] = encode(arm.missed)
    values["slow readings missed"] = encode(vitals.missed)
    values["ticks left out"] = encode(driver.thread.missed)
    values["most late [ms]"] = encode(round(driver.thread.take_lateness_ns() / 1e6, 2))
    values["torque"] = "on" if arm.is_torque_on else "off"
    values["trajectories refused"] = state.values["refused"]
    values["mode"], values["reason"] = state.message, state.values["reason"]
    is_faulty = driver.loop.mode is ArmMode.FAULT or bus is None
    values[NO_EPISODE] = judgement.pause
    level = ERROR if is_faulty else max(vitals.level, judgement.level)
    words = f"hottest {vitals.hottest:.0f} °C"
    if is_faulty:
        words = state.values["reason"]
    elif judgement.pause:
        words += f"; {judgement.pause}"
    return Event(stamp_ns=stamp_ns, name=NAME, message=words, values=values, level=level)
