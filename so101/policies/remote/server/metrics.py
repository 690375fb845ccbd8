"""Counters of a policy server, and the text in which Prometheus reads them."""

from collections import Counter
from collections.abc import Mapping

BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)
"""Upper ends of the histograms' buckets [ms]."""


class Histogram:
    """How long something took [ms], in buckets."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.sum_ms = 0.0

    def add(self, value_ms: float) -> None:
        """Count one duration [ms]."""
        bucket = next((i for i, bound in enumerate(BOUNDS_MS) if value_ms <= bound), -1)
        self.counts[bucket] += 1
        self.sum_ms += value_ms

    def lines(self, name: str) -> list[str]:
        """Return it as Prometheus text [s]."""
        lines, total = [f"# TYPE {name} histogram"], 0
        for bound, count in zip((*BOUNDS_MS, None), self.counts, strict=True):
            total += count
            end = "+Inf" if bound is None else f"{bound / 1000:g}"
            lines.append(f'{name}_bucket{{le="{end}"}} {total}')
        return [*lines, f"{name}_sum {self.sum_ms / 1000:.6f}", f"{name}_count {total}"]


class Metrics:
    """What a server has done since it began.

    Attributes:
        requests: Requests by what became of them: ``answered`` or a `Code`.
        refused: Connections that were turned away or cut, by reason.
        batches: Passes of the policy.
        swaps: Checkpoints that took over.
        gauges: Present values by name.
        beside: Present values of what else runs in the process.
        notices: How that is: by its name a word, and after a colon the reason.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.requests: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.batches = 0
        self.swaps = 0
        self.gauges: dict[str, float] = {}
        self.beside: dict[str, float] = {}
        self.notices: dict[str, str] = {}
        self._spans = {name: Histogram() for name in ("queue", "decode", "infer", "total")}

    def add_timings(self, timings_ms: Mapping[str, float]) -> None:
        """Count the durations of one answer."""
        for name, histogram in self._spans.items():
            histogram.add(timings_ms[name])

    def summary(self) -> str:
        """Return the health page: a word each, without reasons, for everybody may read it."""
        words = [f"{name}: {said.partition(':')[0]}" for name, said in self.notices.items()]
        return "\n".join(["ok", *words, ""])

    def text(self) -> str:
        """Return everything in Prometheus' text format, version 0.0.4."""
        lines = ["# TYPE so101_serve_requests_total counter"]
        lines += _labelled("so101_serve_requests_total", "outcome", self.requests)
        lines += ["# TYPE so101_serve_refused_total counter"]
        lines += _labelled("so101_serve_refused_total", "reason", self.refused)
        for name, value in (("batches", self.batches), ("swaps", self.swaps)):
            lines += [
                f"# TYPE so101_serve_{name}_total counter",
                f"so101_serve_{name}_total {value}",
            ]
        for name, notice in sorted(self.notices.items()):
            text = notice.replace("\\", "/").replace('"', "'").replace("\n", " ")
            lines.append(f'so101_serve_notice{{name="{name}",text="{text}"}} 1')
        for name, present in sorted({**self.gauges, **self.beside}.items()):
            lines += [f"# TYPE so101_serve_{name} gauge", f"so101_serve_{name} {present:g}"]
        for name, histogram in self._spans.items():
            lines += histogram.lines(f"so101_serve_{name}_seconds")
        return "\n".join(lines) + "\n"


def _labelled(name: str, label: str, counts: Counter[str]) -> list[str]:
    return [f'{name}{{{label}="{key}"}} {count}' for key, count in sorted(counts.items())]
