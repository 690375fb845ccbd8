"""What really happened to the arm, as a file: for measuring what a host's own readings cannot."""

from pathlib import Path
from typing import TextIO

from so101.errors import ConfigError
from so101.robot import JOINTS
from so101.servos import registers as reg
from so101.simulation.servo_twin.twin import ServoTwin


class Trace:
    """Writes one row per physics tick: the time, and what is true of the arm and its servos."""

    def __init__(self, path: Path) -> None:
        """Begin the file.

        Raises:
            ConfigError: It cannot be written.
        """
        columns = ["monotonic_ns"]
        columns += [f"{what}.{joint}" for what in ("rad", "rad_s", "goal") for joint in JOINTS]
        try:
            self._file: TextIO = path.open("w", encoding="utf-8", buffering=1)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
        self._file.write(",".join(columns) + "\n")

    def add(self, now_ns: int, twin: ServoTwin) -> None:
        """Write a row: positions [rad], velocities [rad/s], goals [ticks]; each line at once."""
        motion = [*twin.plant.positions.tolist(), *twin.plant.velocities.tolist()]
        goals = [memory.get(reg.GOAL_POSITION) for memory in twin.memories]
        numbers = [f"{value:.5f}" for value in motion] + [str(goal) for goal in goals]
        self._file.write(f"{now_ns}," + ",".join(numbers) + "\n")

    def close(self) -> None:
        """End the file."""
        self._file.close()
