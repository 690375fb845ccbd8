"""Joy messages and sticks are an inverse pair, and nonsense is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import Joy

from so101.devices.sticks import Sticks
from so101.errors import HardwareError
from so101.ros.joy import from_joy, to_joy

sticks = st.builds(
    Sticks,
    axes=st.lists(st.floats(-1.0, 1.0, width=32), max_size=9).map(tuple),
    buttons=st.lists(st.booleans(), max_size=14).map(tuple),
)


@given(sticks)
def test_sticks_survive_a_message(seen):
    assert from_joy(to_joy(0, seen)) == seen


def test_a_rounding_beyond_the_end_is_the_end():
    assert from_joy(Joy(axes=[float(np.nextafter(np.float32(1.0), np.float32(2.0)))])).axes == (1,)


@pytest.mark.parametrize("axis", [float("nan"), float("inf"), -1.5])
def test_nonsense_is_refused(axis):
    with pytest.raises(HardwareError, match="axis 0"):
        from_joy(Joy(axes=[axis]))
