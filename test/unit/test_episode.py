"""Laws of episodes as values."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from so101.arrays import frozen
from so101.episode import (
    SOURCE_CODES,
    ControlSource,
    Episode,
    EpisodeFacts,
    EpisodeState,
)

codes = hnp.arrays(np.int64, st.integers(0, 30), elements=st.integers(0, len(ControlSource) - 1))


def make_episode(sources, stamps_ns=None):
    n = len(sources)
    joints = np.zeros((n, 6))
    return Episode(
        facts=EpisodeFacts(id="e"),
        outcome=None,
        stamps_ns=np.arange(n) * 10**8 if stamps_ns is None else stamps_ns,
        positions=joints,
        velocities=joints,
        effort=joints,
        commands=joints,
        actions=joints,
        sources=sources,
        rewards=np.zeros(n),
        terminated=np.zeros(n, dtype=bool),
        truncated=np.zeros(n, dtype=bool),
    )


@given(codes)
def test_interventions_are_the_stretches_of_teleoperation(sources):
    episode = make_episode(sources)
    human = np.zeros(len(sources), dtype=bool)
    past_last = -1
    for first, end in episode.interventions():
        assert past_last < first < end <= len(sources)  # apart from the one before, not empty
        human[first:end] = True
        past_last = end
    np.testing.assert_array_equal(human, sources == SOURCE_CODES[ControlSource.TELEOP])


@given(st.lists(st.integers(0, 10**15), max_size=20).map(sorted))
def test_the_duration_is_from_the_first_to_the_last_step(stamps_ns):
    stamps = np.array(stamps_ns, dtype=np.int64)
    episode = make_episode(np.zeros(len(stamps), dtype=np.int64), stamps)
    assert len(episode) == len(stamps_ns)
    span_ns = stamps_ns[-1] - stamps_ns[0] if stamps_ns else 0
    assert abs(episode.duration_s - span_ns * 1e-9) < 1e-9


def test_an_episode_ends_in_four_ways():
    ends = {state.value for state in EpisodeState if state.is_end}
    assert ends == {"succeeded", "failed", "truncated", "discarded"}


def test_source_codes_are_stable():
    """They are stored in columns; the order is the arbiter's priority."""
    assert [source.value for source in SOURCE_CODES] == [
        "estop",
        "teleop",
        "motion",
        "policy",
        "hold",
    ]
    assert list(SOURCE_CODES.values()) == [0, 1, 2, 3, 4]


@given(hnp.arrays(np.float64, hnp.array_shapes()))
def test_a_frozen_array_is_an_own_read_only_copy(values):
    copy = frozen(values)
    np.testing.assert_array_equal(copy, values)
    assert not copy.flags.writeable
    assert not np.shares_memory(copy, values)
