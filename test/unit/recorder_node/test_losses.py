"""Every place where a message can be lost is bounded, and counts what it loses by topic."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder_node.arrivals import AHEAD_NS, LONGEST_WAIT_NS, Arrivals
from recorder_node.losses import Losses
from recorder_node.raw_message import RawMessage
from recorder_node.ring import Ring
from recorder_node.stream_counts import NAME, StreamCounts
from so101.clock import NS_PER_S
from so101.events import OK, WARN, decode
from so101.topics import JOINT_COMMANDS, JOINT_STATES

MS = 1_000_000
HOUR_NS = 3600 * NS_PER_S


def message(stamp_ns, size=100, topic=JOINT_STATES, arrival_ns=None, lost_before=0):
    return RawMessage(
        topic=topic,
        data=bytes(size),
        stamp_ns=stamp_ns,
        arrival_ns=stamp_ns if arrival_ns is None else arrival_ns,
        lost_before=lost_before,
    )


def test_what_the_ring_cannot_keep_of_an_episode_is_counted():
    ring = Ring(max_bytes=1000)
    for stamp in range(30):
        ring.keep(message(stamp, topic=JOINT_STATES if stamp % 3 else JOINT_COMMANDS))
    assert ring.size == 1000
    assert ring.dropped == {"joint_states": 13, "joint_commands": 7}
    kept, gone = ring.take(since_ns=12)
    assert [one.stamp_ns for one in kept] == list(range(20, 30))
    assert gone == {"joint_states": 5, "joint_commands": 3}  # 12 to 19
    assert ring.size == 0
    assert ring.take(since_ns=0) == ([], Counter())


def test_what_is_older_than_any_episode_is_no_loss():
    ring = Ring(max_ns=10)
    for stamp in range(100):
        ring.keep(message(stamp))
    assert ring.dropped == {}
    kept, gone = ring.take(since_ns=95)
    assert ([one.stamp_ns for one in kept], gone) == ([95, 96, 97, 98, 99], {})


def test_an_episode_that_is_announced_very_late_has_lost_its_beginning():
    ring = Ring(max_ns=10)
    for stamp in range(100):
        ring.keep(message(stamp))
    kept, gone = ring.take(since_ns=50)
    assert len(kept) + gone["joint_states"] == 50


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 300), st.integers(0, 3)), max_size=60)
)
def test_the_ring_keeps_its_bounds_and_loses_nothing_unseen(pieces):
    ring, now = Ring(max_bytes=1000, max_ns=200), 0
    total = lost = 0
    for wait, size, missing in pieces:
        now += wait
        ring.keep(message(now, size, lost_before=missing))
        total, lost = total + 1, lost + missing
        assert ring.size <= 1000
    kept, gone = ring.take(since_ns=0)
    assert len(kept) + sum(one.lost_before for one in kept) + gone.total() == total + lost


def test_losses_say_how_many_of_what_were_lost_where():
    losses = Losses()
    assert (losses.total, losses.describe()) == (0, "")
    losses.missing["reward"] += 2
    losses.ring["joint_states"] += 3
    losses.refused["joint_states"] += 4
    assert losses.by_topic() == {"reward": 2, "joint_states": 7}
    assert losses.total == 9
    assert losses.describe() == (
        "2 reward never arrived; 3 joint_states did not fit into the ring; "
        "4 joint_states were refused by the disk"
    )


def test_streams_tell_rate_age_and_losses():
    counts = StreamCounts()
    first = counts.report(stamp_ns=1, now_ns=0, message="waiting", values={"free [GB]": "3.5"})
    assert (first.name, first.message, first.level) == (NAME, "waiting", OK)
    for k in range(60):
        counts.count("joint_states", 200, 0, k * NS_PER_S // 60)
    counts.count("reward", 100, 2, NS_PER_S // 2)
    event = counts.report(stamp_ns=2, now_ns=NS_PER_S, message="recording a", values={})
    assert event.level == WARN
    assert decode(event, "joint_states: rate [Hz]", float) == 60.0
    assert decode(event, "joint_states: messages", int) == 60
    assert decode(event, "joint_states: bytes", int) == 12_000
    assert decode(event, "joint_states: lost", int) == 0
    assert decode(event, "reward: lost", int) == 2
    assert decode(event, "reward: age [s]", float) == 0.5
    counts.lose({"reward": 3})
    later = counts.report(stamp_ns=3, now_ns=3 * NS_PER_S, message="", values={})
    assert (later.level, decode(later, "reward: lost", int)) == (WARN, 5)
    assert decode(later, "joint_states: rate [Hz]", float) == 0.0
    assert decode(later, "reward: age [s]", float) == 2.5
    assert counts.report(stamp_ns=4, now_ns=4 * NS_PER_S, message="", values={}).level == OK


def test_arrivals_are_the_system_clocks_where_it_is_steady():
    arrivals = Arrivals()
    found = [arrivals.take(HOUR_NS + k * MS, 7 + k * MS) for k in range(100)]
    assert found == [HOUR_NS + k * MS for k in range(100)]


@pytest.mark.parametrize("jump_ns", [HOUR_NS, -HOUR_NS, 24 * HOUR_NS])
def test_a_jump_of_the_clock_neither_stops_time_nor_moves_it(jump_ns):
    arrivals, system_ns, found = Arrivals(), 50 * HOUR_NS, []
    for k in range(1000):
        jumped = jump_ns if 300 <= k < 600 else 0  # and back
        found.append(arrivals.take(system_ns + jumped + k * 5 * MS, k * 5 * MS))
    assert found == sorted(found)
    steps = [b - a for a, b in pairwise(found)]
    assert all(0 <= step <= 10 * MS for step in steps)
    assert found[-1] - found[0] == pytest.approx(999 * 5 * MS, abs=20 * MS)


@given(
    st.lists(
        st.tuples(
            st.integers(0, NS_PER_S), st.integers(0, NS_PER_S), st.integers(-HOUR_NS, HOUR_NS)
        ),
        max_size=50,
    )
)
def test_arrivals_never_go_back_and_keep_near_the_time_that_passed(steps):
    """Whatever the clock does: waits of up to a second, any jump between two messages."""
    arrivals, now_ns, clock_ns, first = Arrivals(), 0, 10 * HOUR_NS, None
    newest = 0
    for passed, waited, jump in steps:
        now_ns, clock_ns = now_ns + passed, clock_ns + passed + jump
        found = arrivals.take(clock_ns - waited, now_ns)
        first = found - now_ns if first is None else first
        assert found >= newest
        newest = found
        assert found - now_ns - first <= AHEAD_NS + NS_PER_S
        assert found - now_ns - first >= -LONGEST_WAIT_NS - NS_PER_S
