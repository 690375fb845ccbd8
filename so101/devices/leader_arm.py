"""What teleoperation asks of a leader arm: where it is, and to be driven or let go."""

from typing import Protocol

from so101.arrays import FloatArray


class LeaderArm(Protocol):
    """Joint positions are the follower's, in its order and units. Nothing blocks for long."""

    def read(self) -> FloatArray:
        """Return where it is now [rad]. Shape (joints,).

        Raises:
            HardwareError: It does not answer, or answers nonsense.
        """
        ...

    def hold(self, positions: FloatArray) -> None:
        """Stand at these positions [rad], with torque. Shape (joints,).

        Raises:
            HardwareError: It does not answer.
        """
        ...

    def let_go(self) -> None:
        """Be limp, without torque.

        Raises:
            HardwareError: It does not answer.
        """
        ...

    def close(self) -> None:
        """Let go, if that can be, and close what was opened."""
        ...
