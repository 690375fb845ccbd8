"""Check of the latency budget: is a chunk there before the one in force is over?"""

from collections.abc import Callable, Sequence

from so101.action import ActionSpace
from so101.observation import Observation
from so101.policies.policy import Policy
from so101_bringup.doctor.finding import Finding

ROUNDS = 6


def measure(
    policy: Policy, observations: Sequence[Observation], now_s: Callable[[], float]
) -> list[float]:
    """Return what inferences take, the first and slowest one left out [s]. Length `ROUNDS`.

    Args:
        policy: Who is asked.
        observations: What it is shown, in turn.
        now_s: A clock that only goes forward [s].
    """
    took = []
    for number in range(ROUNDS + 1):
        before = now_s()
        policy.infer(observations[number % len(observations)])
        took.append(now_s() - before)
    return took[1:]


def check_latency(took_s: Sequence[float], space: ActionSpace) -> Finding:
    """See whether the slowest inference is done before a chunk runs out.

    A chunk has ``horizon`` points, and the next one is looked for after ``execute_steps``: what is
    left is the time in which it has to arrive.

    Args:
        took_s: What inferences took [s].
        space: Of the policy.
    """
    slowest_s, period_s = max(took_s), 1.0 / space.rate_hz
    length_s = space.horizon * period_s
    left_s = (space.horizon - space.execute_steps) * period_s
    text = (
        f"an inference takes {1e3 * slowest_s:.0f} ms at most; a chunk of {1e3 * length_s:.0f} ms "
        f"leaves {1e3 * left_s:.0f} ms for it"
    )
    numbers = {"slowest_s": slowest_s, "chunk_s": length_s, "left_s": left_s}
    if slowest_s <= left_s:
        return Finding("latency", text, numbers=numbers)
    advice = (
        "the arm would stand between chunks: fewer execute_steps, a GPU, or --server on another "
        "computer"
    )
    return Finding("latency", text, advice, numbers)
