"""What a study found, over its seeds: numbers for people and a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from so101.groups import summary
from so101.groups.summary import percent, typical_duration
from so101.statistics import paired_interval

Result = Mapping[str, Any]
LIMIT_S = 12.0


class _Tried(NamedTuple):
    duration_s: float
    is_success: bool


def group_medians(result: Result, limit_s: float = LIMIT_S) -> list[float]:
    """Return each group's median duration [s], failures counted as the time limit."""
    return [typical_duration(group, limit_s) for group in _groups(result)]


def first_and_last(result: Result, limit_s: float = LIMIT_S) -> tuple[float, float]:
    """Return the median duration of the first and of the last two groups [s]."""
    return summary.first_and_last(_groups(result), limit_s)


def by_contender(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of each contender, in the order of first appearance, seeds ascending."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result["contender"], []).append(result)
    return {name: sorted(some, key=lambda one: one["seed"]) for name, some in found.items()}


def lines(results: Sequence[Result]) -> list[str]:
    """Say what was found, contender by contender."""
    said: list[str] = []
    for name, some in by_contender(results).items():
        said.append(f"{name}:")
        for one in some:
            first_s, last_s = first_and_last(one)
            said.append(
                f"  seed {one['seed']}: {_says(one['before'])} -> {_says(one['after'])}, "
                f"change {percent(one['change'])}; groups {first_s:.2f} -> {last_s:.2f} s"
            )
        changes = [one["change"] for one in some if one["change"] is not None]
        if changes:
            said.append(
                f"  change of the median duration: mean {percent(float(np.mean(changes)))}, "
                f"from {percent(min(changes))} to {percent(max(changes))}"
            )
        won, lost = (sum(one["paired"][key] for one in some) for key in ("won", "lost"))
        n = sum(one["after"]["n"] for one in some)
        low, high = paired_interval(won, lost, n)
        said.append(
            f"  success: {percent((won - lost) / n)} points on {n} poses, "
            f"{won} won and {lost} lost (paired 95 % interval {percent(low)} to {percent(high)})"
        )
    return said


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw group medians and successes of every contender, one line per seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    contenders = by_contender(results)
    figure, axes = plt.subplots(
        2, len(contenders), figsize=(1.0 + 3.6 * len(contenders), 5.2), squeeze=False, sharey="row"
    )
    for column, (name, some) in enumerate(contenders.items()):
        above, below = axes[0][column], axes[1][column]
        for one in some:
            numbers = [group["group"] + 1 for group in one["groups"]]
            share = [np.mean([r["success"] for r in group["rollouts"]]) for group in one["groups"]]
            above.plot(numbers, group_medians(one), marker=".", label=f"seed {one['seed']}")
            below.plot(numbers, share, marker=".")
        above.set_title(name.replace("_", " "), fontsize=10)
        below.set_xlabel("group")
        below.set_ylim(0.0, 1.05)
    axes[0][0].set_ylabel("median duration [s], failures as limit")
    axes[1][0].set_ylabel("success share")
    axes[0][-1].legend(fontsize=8)
    for axis in axes.ravel():
        axis.grid(alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _groups(result: Result) -> list[list[_Tried]]:
    return [
        [_Tried(one["duration_s"], one["success"]) for one in group["rollouts"]]
        for group in result["groups"]
    ]


def _says(tried: Mapping[str, Any]) -> str:
    typical_s = tried["median_success_duration_s"]
    return f"{tried['successes']}/{tried['n']}" + (
        "" if typical_s is None else f" in {typical_s:.2f} s"
    )
