"""Scaling and its inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from so101.errors import CheckpointError
from so101.policies.transforms import Normalizer, fill_padding, object_features

values = hnp.arrays(np.float64, (5, 3), elements=st.floats(-10, 10))
column = hnp.arrays(np.float64, 3, elements=st.floats(-4, 4))


@given(values, column, column)
def test_denormalizing_undoes_normalizing(samples, first, second):
    for norm in (
        Normalizer.from_range(np.minimum(first, second), np.maximum(first, second)),
        Normalizer.from_moments(first, np.abs(second)),
    ):
        back = norm.denormalize(norm.normalize(samples))
        np.testing.assert_allclose(back, samples, atol=1e-9)


@given(column, column)
def test_a_range_becomes_minus_one_to_one(first, second):
    low, high = np.minimum(first, second), np.maximum(first, second) + 0.1
    norm = Normalizer.from_range(low, high)
    np.testing.assert_allclose(norm.normalize(low), -1.0)
    np.testing.assert_allclose(norm.normalize(high), 1.0)


@given(column, column)
def test_norms_survive_json(first, second):
    norm = Normalizer.from_moments(first, np.abs(second))
    again = Normalizer.from_mapping(norm.to_mapping(), 3, "here")
    assert np.array_equal(norm.offset, again.offset)
    assert np.array_equal(norm.scale, again.scale)


@pytest.mark.parametrize(
    "mapping",
    [
        None,
        {},
        {"offset": [0.0], "scale": [1.0]},
        {"offset": [0.0, 0.0], "scale": [1.0, 0.0]},
        {"offset": [0.0, 0.0], "scale": [1.0, "x"]},
        {"offset": [0.0, 1e999], "scale": [1.0, 1.0]},
        {"offset": [0.0, [1.0]], "scale": [1.0, 1.0]},
    ],
)
def test_wrong_norms_are_refused(mapping):
    with pytest.raises(CheckpointError, match="here"):
        Normalizer.from_mapping(mapping, 2, "here")


def test_padding_repeats_the_last_real_action():
    actions = np.arange(10.0).reshape(1, 5, 2)
    mask = np.array([[True, True, False, False, False]])
    filled = fill_padding(actions, mask)
    assert np.array_equal(filled[0, :2], actions[0, :2])
    assert np.array_equal(filled[0, 2:], np.tile(actions[0, 1], (3, 1)))


@given(st.floats(-3.1, 3.1), st.integers(-4, 4))
def test_a_cube_looks_the_same_after_a_quarter_turn(yaw, quarters):
    def pose(angle):
        return [[0.2, 0.1, 0.01, 0.0, 0.0, np.sin(angle / 2), np.cos(angle / 2)]]

    turned = object_features(pose(yaw + quarters * np.pi / 2))
    np.testing.assert_allclose(object_features(pose(yaw)), turned, atol=1e-9)
    np.testing.assert_allclose(turned[3:], [np.cos(4 * yaw), np.sin(4 * yaw)], atol=1e-9)
