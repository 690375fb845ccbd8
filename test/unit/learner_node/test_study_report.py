"""What is said about a study."""

import pytest

from learner_node.study_report import by_contender, draw, first_and_last, group_medians, lines


def result(seed, contender="group_reinforce", *, change=-0.3, won=2, lost=1):
    rollouts = [{"duration_s": d, "success": d < 12} for d in (3.0, 5.0, 12.0)]
    slow = [{"duration_s": 2 * r["duration_s"], "success": r["success"]} for r in rollouts]
    return {
        "seed": seed,
        "contender": contender,
        "before": {"n": 100, "successes": 90, "median_success_duration_s": 6.0},
        "after": {"n": 100, "successes": 91, "median_success_duration_s": 4.2},
        "change": change,
        "paired": {"won": won, "lost": lost},
        "groups": [{"group": i, "rollouts": slow if i < 2 else rollouts} for i in range(4)],
    }


def test_failures_count_as_the_limit():
    assert group_medians(result(0)) == [10.0, 10.0, 5.0, 5.0]
    assert first_and_last(result(0)) == (10.0, 5.0)


def test_results_are_said_by_contender_and_seed():
    results = [result(1), result(0, change=-0.2), result(0, "supervised", change=None)]
    assert [one["seed"] for one in by_contender(results)["group_reinforce"]] == [0, 1]
    said = "\n".join(lines(results))
    assert "mean -25.0 %, from -30.0 % to -20.0 %" in said
    assert "4 won and 2 lost" in said
    assert "change none" in said


@pytest.mark.parametrize("contenders", [["a"], ["a", "b"]])
def test_it_is_drawn(tmp_path, contenders):
    path = tmp_path / "deep" / "figure.png"
    draw([result(s, name) for name in contenders for s in range(2)], path)
    assert path.stat().st_size > 1000
