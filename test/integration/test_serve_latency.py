"""How much longer a robot waits for `so101 serve` while hostile peers are up.

A ratio of times, so it means something only where nothing else runs: part of ``make chaos``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.parts.serve_attackers import ATTACKS

ROOT = Path(__file__).parents[2]


@pytest.mark.chaos
@pytest.mark.parametrize("name", [*ATTACKS, "a thousand connections", "all at once"])
def test_a_robot_hardly_waits_longer_under_attack(name, tmp_path):
    """Quiet and hostile phases take turns, half a minute of each."""
    out = tmp_path / "row.json"
    size = ["--only", name, "--seconds", "30", "--rounds", "5", "--out", str(out)]
    subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "serve_attacks.py"), *size],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    row = json.loads(out.read_text())[name]
    assert row["p99_ratio"] < 1.5
    assert 0.0 <= row["longest_session_s"] <= 5.0  # -1 is one that was never closed
    assert row["growth_mb"] < 50.0
