"""How fast rollouts are played."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.action import ActionSpace
from so101.errors import ConfigError
from so101.groups.exploration import ExplorationConfig, bounded, draw_speed, next_highest


@given(st.integers(1, 32), st.integers(1, 32), st.integers(0, 8), st.floats(1.0, 10.0))
def test_a_chunk_always_reaches_to_its_successor(horizon, executed, latency, most):
    space = ActionSpace(horizon=horizon, execute_steps=min(executed, horizon))
    config = ExplorationConfig(start=1.0, most=most)
    if space.execute_steps + latency > horizon:
        with pytest.raises(ConfigError, match="the latency is too long"):
            bounded(config, space.highest_speed(latency))
        return
    highest = bounded(config, space.highest_speed(latency))
    assert highest * (space.execute_steps + latency) <= horizon + 1e-9
    assert 1.0 <= highest <= most


def test_a_window_that_begins_wider_than_it_may_be_is_refused():
    with pytest.raises(ConfigError, match=r"start=1\.5 is more than most=1\.2"):
        ExplorationConfig(start=1.5, most=1.2)


@given(st.integers(0, 10**6), st.integers(0, 99), st.integers(0, 999), st.floats(1.0, 3.0))
def test_factors_lie_in_the_window_and_repeat(seed, group, rollout, highest):
    speed = draw_speed(seed, group, rollout, highest)
    assert 1.0 <= speed <= highest
    assert speed == draw_speed(seed, group, rollout, highest)


def test_factors_differ_between_rollouts_groups_and_seeds():
    drawn = {draw_speed(s, g, r, 2.0) for s in range(3) for g in range(3) for r in range(10)}
    assert len(drawn) == 90


def test_a_window_below_one_is_refused():
    with pytest.raises(ConfigError):
        draw_speed(0, 0, 1, 0.9)


@given(st.floats(0.0, 1.0), st.booleans(), st.floats(1.0, 2.0))
def test_the_window_is_widened_only_while_success_holds(share, is_accepted, highest):
    config = ExplorationConfig(widen=0.1, hold_success=0.8)
    after = next_highest(
        highest, success_share=share, is_accepted=is_accepted, config=config, bound=2.0
    )
    assert 1.0 <= after <= 2.0
    if share < 0.8:
        assert after == max(1.0, highest - 0.1)
    else:
        assert after >= highest
        assert is_accepted or after == highest
