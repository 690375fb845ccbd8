"""Checks of an arm: its calibration file, and its servos over the bus."""

from collections.abc import Sequence
from pathlib import Path

from so101.errors import ConfigError, HardwareError
from so101.robot import JOINTS
from so101.servos import registers as reg
from so101.servos.calibration import Calibration, read_calibration
from so101.servos.calibration_files import ArmKind, find_calibration
from so101.servos.calibration_store import Servos, check_models, compare
from so101.servos.wanted import Want, calibrated, settings
from so101_bringup.doctor.finding import Finding

WARM = 55
"""Warned of from here on [°C]."""
_VOLTS = ((6.0, 8.4), (11.0, 12.6))
"""What a 7.4 V and a 12 V arm run on [V]."""
_SHOWN = 3


def check_file(root: Path, kind: ArmKind, robot_id: str) -> tuple[Finding, Calibration | None]:
    """See that an arm's calibration is there and can be, and return it."""
    try:
        path = find_calibration(root, kind, robot_id)
        calibration = read_calibration(path)
    except ConfigError as error:
        advice = f"so101 calibrate --arm {kind} --id {robot_id} --port ..."
        return Finding("calibration", str(error), advice), None
    return Finding("calibration", f"{path}, {calibration.digest()[:8]}"), calibration


def check_servos(
    servos: Servos, ids: Sequence[int], calibration: Calibration | None, kind: ArmKind
) -> list[Finding]:
    """See that every servo is there, like its neighbours, cool, fed, set and calibrated.

    Args:
        servos: On the bus.
        ids: One per joint.
        calibration: What they have to remember; None where that is not known.
        kind: A leader is led by hand: gains and protections of its servos do not matter.
    """
    try:
        check_models(servos, ids)
        found = [
            Finding("servos", f"{len(ids)} STS3215 answer"),
            _firmware(servos, ids),
            _voltage(servos, ids),
            _temperature(servos, ids),
            _complaints(servos, ids),
        ]
        if kind == "follower":
            wanted = [settings(joint) for joint in range(len(JOINTS))]
            found.append(_memory("settings", servos, ids, wanted))
        if calibration is not None:
            wanted = [calibrated(joint) for joint in calibration.joints]
            found.append(_memory("limits", servos, ids, wanted))
        return found
    except HardwareError as error:
        return [Finding("servos", str(error), "switch power off and on; look at cables and ids")]


def _firmware(servos: Servos, ids: Sequence[int]) -> Finding:
    versions = {
        joint: f"{servos.read(one, reg.FIRMWARE_MAJOR)}.{servos.read(one, reg.FIRMWARE_MINOR)}"
        for joint, one in zip(JOINTS, ids, strict=True)
    }
    if len(set(versions.values())) > 1:
        text = ", ".join(f"{joint} {version}" for joint, version in versions.items())
        return Finding("firmware", text, "LeRobot wants one version; Feetech's program updates it")
    return Finding("firmware", next(iter(versions.values())))


def _voltage(servos: Servos, ids: Sequence[int]) -> Finding:
    volts = [reg.PRESENT_VOLTAGE.to_si(servos.read(one, reg.PRESENT_VOLTAGE)) for one in ids]
    text = f"{min(volts):.1f} to {max(volts):.1f} V"
    if not any(low <= min(volts) and max(volts) <= high for low, high in _VOLTS):
        return Finding("voltage", text, "a 7.4 V arm needs 6 to 8.4 V, a 12 V arm 11 to 12.6 V")
    return Finding("voltage", text)


def _temperature(servos: Servos, ids: Sequence[int]) -> Finding:
    degrees = [servos.read(one, reg.PRESENT_TEMPERATURE) for one in ids]
    hottest = JOINTS[degrees.index(max(degrees))]
    advice = "let it cool with its power off" if max(degrees) >= WARM else ""
    return Finding("temperature", f"{hottest} {max(degrees)} °C is the warmest", advice)


def _complaints(servos: Servos, ids: Sequence[int]) -> Finding:
    bits = {joint: servos.read(one, reg.STATUS) for joint, one in zip(JOINTS, ids, strict=True)}
    bad = [f"{joint} {value:#x}" for joint, value in bits.items() if value]
    if bad:
        advice = "1 voltage, 2 encoder, 4 heat, 8 current, 0x20 overload; power off and on"
        return Finding("status", ", ".join(bad), advice)
    return Finding("status", "no servo complains")


_MENDING = {
    "settings": "start once with --write-eeprom, the arm lying down and its torque off",
    "limits": "so101 calibrate --restore writes the file to the servos",
}


def _memory(
    name: str, servos: Servos, ids: Sequence[int], wanted: Sequence[tuple[Want, ...]]
) -> Finding:
    found = compare(servos, ids, wanted)
    if found:
        text = "; ".join(map(str, found[:_SHOWN])) + (" ..." if len(found) > _SHOWN else "")
        return Finding(name, text, _MENDING[name])
    return Finding(name, f"{sum(map(len, wanted))} registers are as wanted")
