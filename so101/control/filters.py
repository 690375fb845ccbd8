"""What may reshape a goal before the gate, as compliance will. The chain is empty by default."""

from typing import Protocol

from so101.arm import ArmState
from so101.arrays import FloatArray


class GoalFilter(Protocol):
    """One link of the chain between follower and gate. Fast: it runs at every control tick."""

    def __call__(self, goal: FloatArray, state: ArmState, stamp_ns: int) -> FloatArray:
        """Return the goal to pass on.

        Args:
            goal: Followed trajectory at this tick [rad], read-only. Shape (joints,).
            state: The arm as just measured.
            stamp_ns: The tick [ns].
        """
        ...
