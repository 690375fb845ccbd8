"""Checks of a running graph: does its policy keep up with its own chunks?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from so101.clock import CONTROL_HZ, seconds
from so101.status_events import PolicyInfo
from so101_bringup.doctor.finding import Finding
from so101_bringup.doctor.latency import is_in_time, text_of

FEWEST_CHUNKS = 3
"""Fewer say nothing of a rhythm."""

SLOW_ADVICE = (
    "the arm stands between chunks: fewer execute_steps, a GPU, --server on another computer, or "
    "fewer programs beside it"
)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What was heard of a graph.

    Attributes:
        reports: How many reports on ``diagnostics``, of whatever node.
        infos: What the policy said, in order.
        chunk_s: From the observation to the last point of each chunk [s].
        waited_s: For how long it was listened to [s].
    """

    reports: int
    infos: Sequence[PolicyInfo]
    chunk_s: Sequence[float]
    waited_s: float

    @property
    def planned(self) -> list[PolicyInfo]:
        """What was said of observations that gave a chunk."""
        return [info for info in self.infos if not info.waiting_for]

    @property
    def is_enough(self) -> bool:
        """Whether there is something to judge by."""
        return min(len(self.planned), len(self.chunk_s)) >= FEWEST_CHUNKS


def check_live(heard: Heard, where: str) -> list[Finding]:
    """See whether the policy of a running graph is there in time.

    Args:
        heard: Of the graph.
        where: Its domain and namespace, in words.
    """
    name, waited = "live policy", f"{heard.waited_s:.0f} s"
    if not heard.reports:
        text = f"no graph was heard in {where} within {waited}"
        return [Finding(name, text, "start it in another terminal, or name its --namespace")]
    if not heard.is_enough:
        last = heard.infos[-1] if heard.infos else None
        runs = f"runs {last.checkpoint[:12] or 'nothing'}" if last else "is silent"
        waits = f", waits for {last.waiting_for}" if last and last.waiting_for else ""
        text = f"{runs}{waits}; {len(heard.planned)} chunks within {waited}"
        return [Finding(name, text, "ask while it acts in an episode: so101 call episode/start")]
    last = heard.infos[-1]
    refused = last.refused - heard.infos[0].refused
    text = f"runs {last.checkpoint[:12]}, schedule {last.schedule}, {len(heard.planned)} chunks"
    if refused > 0:
        advice = "see the log of policy_node; what it plans may not be followed"
        return [Finding(name, f"{text}, {refused} refused", advice), _check_latency(heard)]
    return [Finding(name, text), _check_latency(heard)]


def _check_latency(heard: Heard) -> Finding:
    """Judge what passes from an observation to its chunk, as the policy node measured it."""
    planned = heard.planned
    takes_s = max(info.latency_ms for info in planned) / 1e3
    thinks_s = max(info.waited_ms + info.inference_ms for info in planned) / 1e3
    gaps = [seconds(b.stamp_ns - a.stamp_ns) for a, b in pairwise(planned)]
    gap_s, chunk_s = median(gaps), min(heard.chunk_s)
    numbers = {
        "slowest_s": takes_s,
        "inference_s": thinks_s,
        "chunk_s": chunk_s,
        "decision_s": gap_s,
    }
    name, schedule = "live latency", planned[-1].schedule
    if schedule == "sync":
        text = f"sync: the arm stands for {1e3 * takes_s:.0f} ms before each chunk, as was chosen"
        return Finding(name, text, numbers=numbers)
    text = text_of(takes_s, gap_s, chunk_s)
    if thinks_s > takes_s + 1.0 / CONTROL_HZ:
        is_quick = is_in_time(thinks_s, gap_s, chunk_s)
        judged = "in time" if is_quick else "too late"
        text = (
            f"time waits for it here; its {1e3 * thinks_s:.0f} ms would be {judged} on an arm: "
            f"{text_of(thinks_s, gap_s, chunk_s)}"
        )
        return Finding(name, text, numbers=numbers)
    advice = "" if is_in_time(takes_s, gap_s, chunk_s) else SLOW_ADVICE
    return Finding(name, text, advice, numbers)
