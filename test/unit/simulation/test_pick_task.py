"""Laws of the pick task's starts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.errors import ConfigError
from so101.kinematics.chain import GRASP_FRAME, so101_chain
from so101.robot import so101
from so101.simulation.grasp_planner import cube_yaw
from so101.simulation.tasks.pick import REGIONS, PickTask

seeds = st.integers(0, 2**63 - 1)
regions = st.sampled_from(sorted(REGIONS))


@given(seeds, regions)
def test_the_cube_lies_in_its_region(seed, region):
    place = REGIONS[region]
    x, y, z, *quaternion = PickTask(region=region).start(seed).objects[0]
    assert place.x[0] <= x <= place.x[1]
    assert abs(y) <= place.y
    assert z == 0.0125
    yaw = 2.0 * np.arctan2(quaternion[2], quaternion[3])
    assert abs(yaw) <= place.yaw + 1e-12
    assert np.linalg.norm(quaternion) == pytest.approx(1.0)


@given(seeds, regions, st.floats(0.0, 0.08))
def test_jitter_moves_the_arm_only_and_keeps_it_off_the_cube(seed, region, jitter):
    task, home = PickTask(region=region), so101().home
    plain, off = task.start(seed), task.start(seed, jitter=jitter)
    np.testing.assert_array_equal(plain.positions, home)
    np.testing.assert_array_equal(plain.objects, off.objects)
    assert np.abs(off.positions - home).max() <= jitter
    assert off.positions[5] == home[5]
    assert so101_chain().pose(off.positions, GRASP_FRAME)[2, 3] > 0.045


@given(seeds)
def test_a_start_repeats(seed):
    first, again = (PickTask().start(seed, jitter=0.05) for _ in range(2))
    np.testing.assert_array_equal(first.positions, again.positions)
    np.testing.assert_array_equal(first.objects, again.objects)
    assert not first.positions.flags.writeable


def test_seeds_spread_over_the_region():
    cubes = np.array([PickTask().start(seed).objects[0, :2] for seed in range(200)])
    assert np.ptp(cubes[:, 0]) > 0.09
    assert np.ptp(cubes[:, 1]) > 0.16


def test_an_unknown_region_is_named():
    with pytest.raises(ConfigError, match="'huge' is not one of small, std, wide"):
        PickTask(region="huge")


@given(st.floats(-3.0, 3.0), st.integers(0, 3), st.booleans())
def test_the_cube_s_heading_is_seen_on_any_face(yaw, quarter, is_tumbled):
    about_z = np.array([0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)])
    half = quarter * np.pi / 4
    tumble = np.array([np.sin(half), 0, 0, np.cos(half)])
    x1, y1, z1, w1 = about_z
    x2, y2, z2, w2 = tumble if is_tumbled else (0.0, 0.0, 0.0, 1.0)
    turned = [
        w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
        w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
        w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
    ]
    seen = cube_yaw(np.array([0.2, 0.0, 0.0125, *turned]))
    off = (seen - yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4
    assert abs(off) < 1e-6
