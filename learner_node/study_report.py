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
    """Draw one column per contender, one line per seed: groups, then the report poses."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    contenders = by_contender(results)
    figure, axes = plt.subplots(
        3, len(contenders), figsize=(1.4 + 3.8 * len(contenders), 7.6), squeeze=False, sharey="row"
    )
    for (name, some), column in zip(contenders.items(), axes.T, strict=True):
        for one in some:
            _draw_seed(one, column)
        column[0].set_title(name.replace("_", " "), fontsize=10)
        column[1].set_xlabel("group")
        column[1].set_ylim(0.0, 1.05)
        column[2].set_xticks([0, 1], ["before", "after"])
        column[2].set_xlim(-0.2, 1.2)
        column[2].legend(fontsize=7)
    axes[0][0].set_ylabel("rollouts: median [s],\nfailures as limit")
    axes[1][0].set_ylabel("rollouts: success share")
    axes[2][0].set_ylabel("report poses: median\nof the successes [s]")
    for axis in axes.ravel():
        axis.grid(alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw_seed(result: Result, column: Any) -> None:
    numbers = [group["group"] + 1 for group in result["groups"]]
    share = [np.mean([r["success"] for r in group["rollouts"]]) for group in result["groups"]]
    column[0].plot(numbers, group_medians(result), marker=".")
    column[1].plot(numbers, share, marker=".")
    before, after = result["before"], result["after"]
    typical_s = [tried["median_success_duration_s"] for tried in (before, after)]
    picks = f"{before['successes']} → {after['successes']} of {after['n']} picks"
    drawn_s = [np.nan if one is None else one for one in typical_s]
    column[2].plot([0, 1], drawn_s, marker="o", label=f"seed {result['seed']}: {picks}")


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
