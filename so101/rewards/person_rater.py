"""The rater of a real robot: nothing is known until a person says it."""

import math

from so101.observation import Observation
from so101.rewards.rater import Verdict

UNJUDGED = Verdict(
    reward=0.0, probability=math.nan, is_success=False, is_failure=False, kind="unjudged"
)


class PersonRater:
    """Leaves every judgement to a person, who ends the episode as success or failure."""

    def reset(self) -> None:
        """Begin an episode."""

    def update(self, observation: Observation) -> Verdict:
        """Say of the next policy tick that nobody has judged it."""
        return UNJUDGED
