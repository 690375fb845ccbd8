"""Check of the simulated task: a policy that holds still must not succeed.

Where it does, success is judged wrongly, and every rate that is measured there is worth nothing.
"""

from so101.evaluation import Evaluation, EvaluationConfig, evaluate
from so101.policies.hold_policy import HoldPolicy
from so101_bringup.doctor.finding import Finding

EPISODES = 3


def hold_still(seed: int = 0) -> Evaluation:
    """Return how a few simulated episodes go in which the arm holds still."""
    return evaluate(HoldPolicy(), EvaluationConfig(episodes=EPISODES, seed=seed))


def check_null(evaluation: Evaluation) -> Finding:
    """See that holding still does not count as success."""
    count, successes = len(evaluation.trials), evaluation.successes
    text = f"an arm that holds still succeeds in {successes} of {count} simulated episodes"
    numbers = {"successes": successes, "episodes": count}
    advice = "success is judged wrongly: look at the rater (so101/rewards) before any result"
    return Finding("null policy", text, advice if successes else "", numbers)
