"""The Python of the guide on data runs as it stands there, on an episode of the name it has."""

import re
from pathlib import Path

from factories import make_bag

from so101.data.episodes.episode_reader import read_episode
from so101.episode import Outcome

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "data.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_python_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bag = make_bag(
        directory=Path("runs/rl/episodes/20261122-030639-group-02-rollout-02"),
        steps=12,
        episode="group-02-rollout-02",
        outcome=Outcome.SUCCESS,
    )
    blocks = BLOCK.findall(GUIDE.read_text(encoding="utf-8"))
    assert len(blocks) == 3
    known = {}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), known)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "12 Outcome.SUCCESS (12, 6) b'\\xff\\xd8\\xff'"
    assert out[1] == "[-0.08333333 -0.08333333 -0.08333333]"
    assert re.fullmatch(r"\d+ /\w+ \w+", out[2])
    assert read_episode(bag).values["advantage"][-1] == 1 - 1 / 12
