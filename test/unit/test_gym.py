"""The environment is made by its name alone, in a process that knows nothing of it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def in_a_fresh_process(code):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    return done.returncode, done.stdout.strip(), done.stderr


def test_gymnasium_makes_it_by_name():
    code = (
        "import gymnasium\n"
        "env = gymnasium.make('so101.gym:So101Pick-v0', region='small')\n"
        "observation, info = env.reset(seed=1)\n"
        "print(type(env.unwrapped).__name__, env.spec.id, observation['objects'].shape)"
    )
    assert in_a_fresh_process(code) == (0, "So101PickEnv So101Pick-v0 (1, 7)", "")


@pytest.mark.parametrize("module", ["so101", "so101.simulation.env"])
def test_nothing_else_registers_it(module):
    code = f"import gymnasium, {module}; print('So101Pick-v0' in gymnasium.registry)"
    assert in_a_fresh_process(code)[:2] == (0, "False")
