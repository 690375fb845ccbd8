"""Check of the latency budget: is a chunk there before the one in force is over?"""

from collections.abc import Callable, Sequence

from so101.action import ActionSpace
from so101.observation import Observation
from so101.policies.policy import Policy
from so101_bringup.doctor.finding import Finding

ROUNDS = 6
_ROUNDING_S = 1e-9


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


def is_in_time(takes_s: float, decision_s: float, chunk_s: float) -> bool:
    """Tell whether a chunk is there before the one in force is over, again and again.

    The policy looks anew ``decision_s`` after its last look, or when its last chunk is there, if
    that is later; the answer takes as long again.

    Args:
        takes_s: From an observation to its chunk [s].
        decision_s: From one observation to the next, as the policy wants it [s].
        chunk_s: From an observation to the end of its chunk [s].
    """
    return max(decision_s, takes_s) + takes_s <= chunk_s + _ROUNDING_S


def text_of(takes_s: float, decision_s: float, chunk_s: float) -> str:
    """Say what an inference takes and what there is for it; see `is_in_time`."""
    left_s = max(0.0, chunk_s - max(decision_s, takes_s))
    return (
        f"an inference takes {1e3 * takes_s:.0f} ms at most; a chunk of {1e3 * chunk_s:.0f} ms "
        f"leaves {1e3 * left_s:.0f} ms for it"
    )


def check_latency(took_s: Sequence[float], space: ActionSpace) -> Finding:
    """See whether the slowest inference is done before a chunk runs out.

    A chunk has ``horizon`` points, and the next one is looked for after ``execute_steps``, or as
    soon as the inference is over: what is left is the time in which it has to arrive.

    Args:
        took_s: What inferences took [s].
        space: Of the policy.
    """
    slowest_s, period_s = max(took_s), 1.0 / space.rate_hz
    length_s = space.horizon * period_s
    decision_s = space.execute_steps * period_s
    text = text_of(slowest_s, decision_s, length_s)
    numbers = {"slowest_s": slowest_s, "chunk_s": length_s, "decision_s": decision_s}
    if is_in_time(slowest_s, decision_s, length_s):
        return Finding("latency", text, numbers=numbers)
    advice = (
        "the arm would stand between chunks: fewer execute_steps, a GPU, or --server on another "
        "computer"
    )
    return Finding("latency", text, advice, numbers)
