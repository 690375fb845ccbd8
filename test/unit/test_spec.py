"""A policy says what it needs, and is refused where that is absent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.config import from_mapping, to_mapping
from so101.errors import CheckpointError
from so101.robot import CAMERAS, JOINTS
from so101.spec import PolicySpec

names = st.lists(st.sampled_from(["wrist", "front", "top", "left"]), unique=True).map(tuple)


@given(needed=names, present=names)
def test_a_policy_fits_where_its_cameras_are(needed, present):
    spec = PolicySpec(cameras=needed)
    absent = [camera for camera in needed if camera not in present]
    if not absent:
        spec.check_fits(JOINTS, present, "step_1")
        return
    with pytest.raises(CheckpointError) as caught:
        spec.check_fits(JOINTS, present, "step_1")
    assert str(caught.value).startswith(f"step_1: needs cameras {', '.join(absent)};")


@given(st.permutations(JOINTS).map(tuple))
def test_a_policy_fits_only_its_joints_in_their_order(joints):
    spec = PolicySpec()
    if joints == JOINTS:
        spec.check_fits(joints, CAMERAS, "step_1")
        return
    with pytest.raises(CheckpointError, match=f"step_1: .* this robot has {', '.join(joints)}"):
        spec.check_fits(joints, CAMERAS, "step_1")


@given(
    st.builds(
        PolicySpec,
        cameras=names,
        image_size=st.tuples(st.integers(0, 1000), st.integers(0, 1000)),
        uses_objects=st.booleans(),
        camera_names=st.dictionaries(st.text(), st.text()),
        task=st.text(),
    )
)
def test_a_spec_and_its_mapping_are_an_inverse_pair(spec):
    assert from_mapping(PolicySpec, to_mapping(spec), "policy.json") == spec
