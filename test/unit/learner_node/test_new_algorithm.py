"""The example of docs/guides/new_algorithm.md works as it stands there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from so101_bringup.environment import clean_environment

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "guides" / "new_algorithm.md"
NAME = "learner_node.algorithms.reward_weighted"
ALGORITHM, LINE, TEST = re.findall(
    r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)
(STUDY,) = re.findall(
    r"^```yaml\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)


def run_block(name, text):
    """Run a code block of the guide as a module."""
    module = sys.modules[name] = ModuleType(name)
    exec(compile(text, str(GUIDE), "exec"), module.__dict__)
    return module


run_block(NAME, ALGORITHM)
_tests = run_block("test_reward_weighted", TEST)
globals().update(
    {name: value for name, value in vars(_tests).items() if name.startswith(("test_", "Test"))}
)


@pytest.fixture
def checkout(tmp_path):
    """Return a directory with the learner as it is when the guide was followed."""
    package = tmp_path / "learner_node"
    shutil.copytree(ROOT / "learner_node", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "algorithms" / "reward_weighted.py").write_text(ALGORITHM)
    table = package / "algorithm_table.py"
    head, foot = table.read_text().rsplit("}", 1)
    imported = f"from {NAME} import RewardWeighted\n"
    first = head.index("from learner_node")
    table.write_text(f"{head[:first]}{imported}{head[first:]}{LINE}}}{foot}")
    (tmp_path / "tiny.yaml").write_text(STUDY)
    return tmp_path


def so101(checkout, *words):
    """Run the command with the checkout's learner in place of this one's."""
    code = (
        f"import sys; sys.path[:0] = {[str(checkout), str(ROOT)]!r}\n"
        f"from so101_bringup.cli import main; sys.exit(main({[*words]!r}))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout,
        env=clean_environment(os.environ),
        capture_output=True,
        text=True,
        timeout=55,
    )


def test_bench_learn_compares_it(checkout):
    words = "--out tiny.json --config tiny.yaml --seeds 0 --jobs 1"
    run = so101(checkout, "bench-learn", *words.split(), "--contenders", "reward_weighted")
    assert run.returncode == 0, run.stderr
    (result,) = json.loads((checkout / "tiny.json").read_text())
    assert (result["contender"], result["rollouts"]) == ("reward_weighted", 2)
    assert result["groups"][0]["pool"] >= 2
    assert "reward_weighted:" in run.stdout


def test_what_is_in_no_table_is_refused(checkout):
    run = so101(checkout, "bench-learn", "--out", "x.json", "--contenders", "reward_wieghted")
    assert run.returncode == 2
    assert "reward_weighted" in run.stderr
