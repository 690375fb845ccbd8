"""What TF and camera_info say of the simulated cameras is what they draw.

The frames of images are links of the URDF. A cube is put at places before each camera, off its
axis, and seen: its corners, brought by the URDF's frames and the published camera_info to pixels,
bound the pixels in which it was drawn. A frame that is turned, mirrored or shifted does not pass.
"""

import itertools

import numpy as np
import pytest

pytest.importorskip("rclpy")

from so101.kinematics.chain import so101_chain
from so101.robot import CAMERAS, so101
from so101.ros.convert import to_camera_info, to_image
from so101.simulation.tasks.task import Start
from so101.simulation.world import World

SIZE = (240, 320)
HALF_EDGE_M = 0.0125
PLACES = {
    "front": [(-0.13, -0.03, 0.42), (0.14, -0.05, 0.45), (0.12, 0.09, 0.4), (-0.15, 0.08, 0.45)],
    "wrist": [(-0.05, -0.03, 0.12), (0.05, -0.025, 0.12), (0.0, -0.035, 0.13)],
}
"""In each camera's own frame: right, down, forward [m], where nothing of the arm is before it."""

OUT_OF_SIGHT = (0.0, 0.0, 5.0)


@pytest.fixture(scope="module")
def world():
    world = World(camera_size=SIZE)
    yield world
    world.close()


def poses():
    """Two poses in which the gripper is above the desk, turned differently."""
    raised = so101().home + np.array([0.0, -0.4, -0.3, 0.3, 0.0, 0.0])
    return {"raised": raised, "turned": raised + np.array([0.5, 0.1, -0.2, -0.2, 0.7, 0.1])}


def bounds(pixels):
    return np.array([pixels.min(axis=0), pixels.max(axis=0)])


def picture_with(world, camera, positions, centre):
    world.reset(Start(positions=positions, objects=np.array([[*centre, 0.0, 0.0, 0.0, 1.0]])))
    return world.render(camera)


@pytest.mark.parametrize("pose", ["raised", "turned"])
@pytest.mark.parametrize("camera", CAMERAS)
def test_a_point_lands_on_the_pixel_that_shows_it(world, camera, pose):
    positions = poses()[pose]
    frame = so101_chain().pose(positions, to_image(0, camera, b"").header.frame_id)
    focal_px = float(world.intrinsics(camera)[0, 0])
    matrix = np.reshape(to_camera_info(0, camera, SIZE, focal_px).k, (3, 3))
    empty = picture_with(world, camera, positions, OUT_OF_SIGHT)
    for place in PLACES[camera]:
        centre = frame[:3, :3] @ place + frame[:3, 3]
        assert centre[2] > HALF_EDGE_M, "below the desk"
        changed = picture_with(world, camera, positions, centre) != empty
        seen = np.argwhere(changed.any(axis=2))[:, ::-1]
        assert len(seen) > 50, f"{camera}: no cube at {place}"
        corners = centre + HALF_EDGE_M * np.array(list(itertools.product((-1, 1), repeat=3)))
        rays = (corners - frame[:3, 3]) @ frame[:3, :3] @ matrix.T
        low, high = bounds(rays[:, :2] / rays[:, 2:])
        np.testing.assert_allclose(bounds(seen), (np.ceil(low), np.floor(high)), atol=1.01)
        np.testing.assert_allclose(bounds(seen).mean(axis=0), (low + high) / 2, atol=0.6)
