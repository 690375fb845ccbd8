"""Where memory runs out the learner goes, and it is asked for before anything large is made."""

import subprocess
import sys

import pytest

from learner_node import memory, node


@pytest.mark.case(47)
def test_the_kernel_is_told_and_children_inherit_it():
    code = (
        "import subprocess; from learner_node.memory import SCORE, go_first; go_first();"
        "print(SCORE.read_text().strip(), flush=True); subprocess.run(['cat', str(SCORE)])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(memory.FIRST)] * 2


@pytest.mark.case(47)
def test_the_learner_asks_before_it_runs(monkeypatch):
    done = []
    monkeypatch.setattr(node, "go_first", lambda: done.append("asked"))
    monkeypatch.setattr(node, "run", lambda *_, **__: done.append("ran") or 0)
    assert node.main() == 0
    assert done == ["asked", "ran"]


def test_what_refuses_it_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        memory.go_first(tmp_path / "nowhere" / "score")
