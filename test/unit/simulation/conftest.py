"""Shared by the tests of the simulation."""

import pytest

from so101.simulation import gl
from so101.simulation.world import World


@pytest.fixture(scope="session")
def world():
    """One world without cameras; every test resets it."""
    return World(cameras=())


@pytest.fixture(scope="session")
def camera_world():
    """One small world with cameras, where OpenGL exists."""
    if gl.find_backend() is None:
        pytest.skip(gl.HINT)
    world = World(camera_size=(48, 64))
    yield world
    world.close()
