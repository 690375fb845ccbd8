"""Parameters of the hardware node."""

from dataclasses import dataclass

from so101.config import option
from so101.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class HardwareParams:
    """How the servos of the real arm are reached, limited and guarded."""

    port: str = option("", "serial adapter of the arm, best by its name in /dev/serial/by-id")
    calibration: str = option("", "calibration file of this arm, in LeRobot's format")
    write_eeprom: bool = option(
        False, "put right what the servos remember (limits, gains, protection); torque must be off"
    )
    use_ros2_control: bool = option(
        False, "trajectories go through ros2_control's controller, its setpoints through the gate"
    )
    check_collisions: bool = option(True, "the safety gate checks self and table collisions")
    torque_limit: int = option(
        700, "most torque of a body joint [0.1 % of stall torque]", range=(100, 950)
    )
    gripper_torque_limit: int = option(
        400, "most torque of the gripper [0.1 % of stall torque]", range=(50, 450)
    )
    voltage_dip: float = option(
        0.8,
        "a servo below this share of the voltage at the start is a fault",
        range=(0.5, 0.95),
    )
    voltage_low: float = option(
        0.9,
        "a servo below this share of the voltage at the start lets no episode begin",
        range=(0.5, 0.98),
    )
    warm: float = option(55.0, "servo temperature that is warned of [°C]", range=(30.0, 65.0))
    hot: float = option(
        60.0,
        "servo temperature from which the arm is slow, and after the present episode none begins "
        "[°C]",
        range=(30.0, 68.0),
    )
    too_hot: float = option(
        65.0, "servo temperature at which the arm goes to rest [°C]", range=(30.0, 69.0)
    )
    relief: float = option(
        5.0,
        "so much cooler a servo has to be before it is no longer warm or hot [°C]",
        range=(0.5, 20.0),
    )
    hot_speed: float = option(
        0.2, "share of the velocity limits that a hot arm keeps to", range=(0.02, 1.0)
    )
    high_current: float = option(
        1.5,
        "mean current of a servo over a second that lets no episode begin [A]",
        range=(0.1, 3.3),
    )
    high_load: float = option(
        0.6,
        "mean load of a servo over a second that lets no episode begin [share of stall torque]",
        range=(0.1, 1.0),
    )
    bus_errors: float = option(
        20.0,
        "lost and spoiled replies of the servos that let no episode begin [1/s]",
        range=(1.0, 1000.0),
    )
    late_ticks: float = option(
        6.0, "ticks left out by the arm loop that let no episode begin [1/s]", range=(1.0, 60.0)
    )
    rest_speed: float = option(
        0.2, "share of the velocity limits on the way to the rest pose", range=(0.05, 1.0)
    )
    rests_at_end: bool = option(
        True, "an armed arm goes to its rest pose when the node ends; else it holds where it is"
    )

    def __post_init__(self) -> None:
        """Check what belongs together.

        Raises:
            ConfigError: The bounds are not in the order in which they are reached.
        """
        if not self.warm <= self.hot <= self.too_hot:
            raise ConfigError(
                f"warm, hot, too_hot: {self.warm:g}, {self.hot:g}, {self.too_hot:g} °C must not "
                "fall"
            )
        if self.voltage_low < self.voltage_dip:
            raise ConfigError(
                f"voltage_low: {self.voltage_low:g} is below voltage_dip {self.voltage_dip:g}, "
                "where the arm is at fault already"
            )
