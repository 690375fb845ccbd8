"""bench-learn goes on where it was, and refuses what it does not know."""

import pytest

from so101.errors import ConfigError
from so101_bringup.cli_bench import missing_runs, read_results, write_results


def one(seed, contender="a"):
    return {"seed": seed, "contender": contender, "config_sha": "x"}


def test_what_is_done_is_not_run_again():
    assert missing_runs([one(0), one(0, "b"), one(1)], [0, 1, 2], ["a", "b"]) == {
        1: ["b"],
        2: ["a", "b"],
    }


def test_results_are_read_back(tmp_path):
    path = tmp_path / "deep" / "results.json"
    assert read_results(path) == []
    write_results(path, [one(0)])
    assert read_results(path) == [one(0)]
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


@pytest.mark.parametrize("text", ["", "{}x", '[{"seed": 0}]', "[1]"])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"results\.json"):
        read_results(path)
