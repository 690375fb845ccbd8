"""What every policy has that changes how another one is asked or what it answers."""

from so101.policies.policy import Policy
from so101.spec import PolicySpec


class WrappedPolicy:
    """All of a policy but its `infer`, from the one inside."""

    def __init__(self, policy: Policy) -> None:
        """Wrap a policy."""
        self._policy = policy

    @property
    def spec(self) -> PolicySpec:
        """Inputs and outputs."""
        return self._policy.spec

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of one noise."""
        return self._policy.noise_shape

    def reset(self) -> None:
        """Forget the episode."""
        self._policy.reset()
