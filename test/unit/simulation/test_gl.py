"""Finding OpenGL, tried in fresh processes because MuJoCo reads its environment once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from so101.simulation import gl

ROOT = Path(__file__).parents[3]
PHYSICS = """
from so101.simulation.build import make_cell  # the collision model comes with it
from so101.simulation.world import World
from so101.simulation.tasks.pick import PickTask
world = World(cameras=())
world.reset(PickTask().start(0))
world.advance()
make_cell(cameras=()).tick()
print("physics works")
"""
PICTURE = """
import mujoco  # before OpenGL was chosen
from so101.simulation.world import World
print(World(camera_size=(32, 32)).render("front").mean() > 10)
"""


def run(code, **variables):
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")
    }
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("choice", ["", "osmesa", "egl", "glfw", "nonsense", "disable"])
def test_physics_works_whatever_mujoco_gl_says(choice):
    result = run(PHYSICS, MUJOCO_GL=choice)
    assert result.stdout == "physics works\n", result.stderr


def test_without_opengl_the_packages_are_named():
    code = PHYSICS + "World(cameras=('front',))"
    result = run(code, MUJOCO_GL="disable")
    assert "physics works" in result.stdout
    assert "RenderError" in result.stderr
    assert "libegl1" in result.stderr


@pytest.mark.skipif(gl.find_backend() is None, reason=gl.HINT)
def test_pictures_work_when_mujoco_was_imported_first_and_nothing_is_left_behind():
    result = run(PICTURE)
    assert result.stdout == "True\n"
    assert result.stderr == ""


@pytest.mark.skipif(gl.find_backend() is None, reason=gl.HINT)
def test_a_choice_that_does_not_work_is_replaced_with_a_warning():
    backend = gl.find_backend()
    other = "osmesa" if backend == "egl" else "egl"
    if gl._PROBES[other]():
        pytest.skip(f"{other} works here too")
    result = run(PICTURE.replace("import mujoco", "#"), MUJOCO_GL=other)
    assert result.stdout == "True\n"
    assert f"MUJOCO_GL={other} does not work here, using {backend}" in result.stderr
