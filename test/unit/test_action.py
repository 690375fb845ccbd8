"""Laws of action chunks and action spaces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.action import ActionChunk, ActionSpace, ChunkPrefix, is_finite_chunk
from so101.clock import POLICY_GRID, POLICY_HZ
from so101.config import from_mapping, to_mapping
from so101.errors import ConfigError

RATES = [rate for rate in range(1, POLICY_HZ + 1) if POLICY_HZ % rate == 0]
rates = st.sampled_from(RATES)
ticks = st.integers(-(10**6), 10**12)
stamps = st.integers(0, 10**18)


def make_chunk(points, **values):
    return ActionChunk(positions=np.zeros((points, 6)), **values)


@given(tick=ticks, rate_hz=rates, points=st.integers(1, 40))
def test_points_of_a_chunk_on_the_grid_are_due_on_the_grid(tick, rate_hz, points):
    chunk = make_chunk(points, stamp_ns=POLICY_GRID.stamp(tick), rate_hz=rate_hz)
    apart = POLICY_HZ // rate_hz
    expected = [POLICY_GRID.stamp(tick + (i + 1) * apart) for i in range(points)]
    assert chunk.due_ns() == expected


@given(tick=ticks, points=st.integers(2, 40), executed=st.integers(1, 39))
def test_a_later_chunk_is_due_on_the_same_ticks(tick, points, executed):
    executed = min(executed, points - 1)
    early = make_chunk(points, stamp_ns=POLICY_GRID.stamp(tick))
    late = make_chunk(points, stamp_ns=POLICY_GRID.stamp(tick + executed))
    assert early.due_ns()[executed:] == late.due_ns()[: points - executed]


@given(stamp_ns=stamps, rate_hz=rates, speed=st.floats(0.1, 10.0), points=st.integers(1, 40))
def test_points_are_due_one_period_apart(stamp_ns, rate_hz, speed, points):
    due = make_chunk(points, stamp_ns=stamp_ns, rate_hz=rate_hz, speed=speed).due_ns()
    exact = stamp_ns + np.arange(1, points + 1) * (1e9 / rate_hz / speed)
    error_ns = [abs((a - stamp_ns) - (b - stamp_ns)) for a, b in zip(due, exact, strict=True)]
    assert max(error_ns) <= 256.0  # what a float64 resolves at 1e18 ns
    assert all(a < b for a, b in zip([stamp_ns, *due], due, strict=False))


@pytest.mark.parametrize("rate_hz", [0, -1, 7, 20, 60])
def test_a_rate_that_leaves_the_grid_is_refused(rate_hz):
    for make in (
        lambda: make_chunk(1, stamp_ns=0, rate_hz=rate_hz),
        lambda: ActionSpace(rate_hz=rate_hz),
    ):
        with pytest.raises(ConfigError, match=f"rate_hz={rate_hz} must divide"):
            make()


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_gets_nowhere_is_refused(speed):
    with pytest.raises(ConfigError, match="speed"):
        make_chunk(1, stamp_ns=0, speed=speed)


@given(rate_hz=rates, horizon=st.integers(1, 64), data=st.data())
def test_decisions_lie_on_policy_ticks(rate_hz, horizon, data):
    execute_steps = data.draw(st.integers(1, horizon))
    space = ActionSpace(rate_hz=rate_hz, horizon=horizon, execute_steps=execute_steps)
    due = make_chunk(horizon, stamp_ns=0, rate_hz=rate_hz).due_ns()
    assert POLICY_GRID.stamp(space.decision_ticks) == due[execute_steps - 1]
    assert from_mapping(ActionSpace, to_mapping(space), "policy.json") == space


@pytest.mark.parametrize(("execute_steps", "horizon"), [(0, 4), (5, 4), (1, 0), (-1, 4)])
def test_a_space_that_cannot_be_executed_is_refused(execute_steps, horizon):
    with pytest.raises(ConfigError, match="execute_steps"):
        ActionSpace(execute_steps=execute_steps, horizon=horizon)


@pytest.mark.parametrize(
    ("positions", "is_good"),
    [
        (np.zeros((1, 6)), True),
        (np.zeros((16, 6)), True),
        (np.zeros((0, 6)), False),
        (np.zeros((16, 5)), False),
        (np.zeros(6), False),
        (np.zeros((1, 1, 6)), False),
        (np.full((2, 6), np.nan), False),
        (np.array([[0, 0, 0, 0, 0, np.inf]]), False),
    ],
)
def test_only_a_finite_table_of_joints_is_a_chunk(positions, is_good):
    assert is_finite_chunk(ActionChunk(stamp_ns=0, positions=positions), 6) is is_good


@pytest.mark.parametrize("decided", [-1, 3])
def test_a_prefix_cannot_decide_more_points_than_it_has(decided):
    with pytest.raises(ConfigError, match="chunk prefix: decided"):
        ChunkPrefix(positions=np.zeros((2, 6)), decided=decided)


@given(tick=st.integers(0, 10**9), delay_ticks=st.integers(0, 30), points=st.integers(1, 20))
def test_a_delay_moves_the_points_and_keeps_the_stamp(tick, delay_ticks, points):
    stamp_ns, start_ns = POLICY_GRID.stamp(tick), POLICY_GRID.stamp(tick + delay_ticks)
    delayed = make_chunk(points, stamp_ns=stamp_ns, delay_ns=start_ns - stamp_ns)
    assert delayed.due_ns() == make_chunk(points, stamp_ns=start_ns).due_ns()
    assert delayed.stamp_ns == stamp_ns


def test_a_chunk_cannot_start_before_it_was_observed():
    with pytest.raises(ConfigError, match="delay_ns=-1"):
        make_chunk(1, stamp_ns=0, delay_ns=-1)


@given(tick=st.integers(0, 10**9), rate_hz=rates, speed=st.floats(0.2, 5.0))
def test_a_chunk_passes_its_points_and_straight_lines_between_them(tick, rate_hz, speed):
    positions = np.random.default_rng(tick).normal(size=(5, 6))
    chunk = ActionChunk(
        stamp_ns=POLICY_GRID.stamp(tick), positions=positions, rate_hz=rate_hz, speed=speed
    )
    due = chunk.due_ns()
    assert np.array_equal(chunk.at(due), positions)
    assert np.array_equal(chunk.at([due[0] - 10**9, due[-1] + 10**9]), positions[[0, -1]])
    middle = (due[1] + due[2]) // 2
    np.testing.assert_allclose(chunk.at([middle])[0], positions[1:3].mean(axis=0), atol=1e-6)
