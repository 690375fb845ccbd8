"""Laws of the time grid."""

from hypothesis import given
from hypothesis import strategies as st

from so101.clock import (
    CONTROL_GRID,
    NS_PER_S,
    PHYSICS_HZ,
    POLICY_GRID,
    TickGrid,
    nanoseconds,
    seconds,
)

PHYSICS_GRID = TickGrid(rate_hz=PHYSICS_HZ)

any_int = st.integers(-(2**63), 2**63)
grids = st.builds(
    TickGrid,
    rate_hz=st.one_of(st.integers(1, 1000), st.sampled_from([7, 30, 60, 300, NS_PER_S])),
    origin_ns=any_int,
)


@given(grids, any_int)
def test_the_grid_never_drifts(grid, second):
    """Whole seconds are hit exactly, however far away."""
    assert grid.stamp(second * grid.rate_hz) == grid.origin_ns + second * NS_PER_S


@given(grids, any_int)
def test_a_tick_is_less_than_a_nanosecond_early(grid, index):
    early = index * NS_PER_S - (grid.stamp(index) - grid.origin_ns) * grid.rate_hz
    assert 0 <= early < grid.rate_hz


@given(grids, any_int)
def test_ticks_increase_and_periods_differ_by_a_nanosecond_at_most(grid, index):
    period_ns = grid.stamp(index + 1) - grid.stamp(index)
    assert period_ns - NS_PER_S // grid.rate_hz in (0, 1)


@given(grids, any_int)
def test_floor_is_the_newest_tick_at_or_before(grid, stamp_ns):
    index = grid.floor(stamp_ns)
    assert grid.stamp(index) <= stamp_ns < grid.stamp(index + 1)


@given(grids, any_int)
def test_ceil_is_the_first_tick_at_or_after(grid, stamp_ns):
    index = grid.ceil(stamp_ns)
    assert grid.stamp(index - 1) < stamp_ns <= grid.stamp(index)


@given(grids, any_int)
def test_every_tick_is_its_own_floor_and_ceil(grid, index):
    stamp_ns = grid.stamp(index)
    assert grid.floor(stamp_ns) == grid.ceil(stamp_ns) == index
    assert grid.is_tick(stamp_ns)


@given(grids, any_int)
def test_nothing_else_is_a_tick(grid, stamp_ns):
    assert grid.is_tick(stamp_ns) == (grid.floor(stamp_ns) == grid.ceil(stamp_ns))


@given(any_int)
def test_the_grids_are_nested(index):
    assert CONTROL_GRID.stamp(2 * index) == POLICY_GRID.stamp(index)
    assert PHYSICS_GRID.stamp(5 * index) == CONTROL_GRID.stamp(index)


@given(st.integers(-(10**15), 10**15))
def test_seconds_and_nanoseconds_are_inverse(duration_ns):
    assert nanoseconds(seconds(duration_ns)) == duration_ns
