"""No episode is ever lost: whatever is asked, one that begins ends exactly once."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reward_node.episode_machine import END_STATES, OUTCOMES, EpisodeMachine
from so101.episode import EpisodeFacts, EpisodeState, Outcome
from so101.errors import SessionError

IDLE, RESETTING, RUNNING = EpisodeState.IDLE, EpisodeState.RESETTING, EpisodeState.RUNNING
NEXT = {
    IDLE: {RESETTING},
    RESETTING: {RUNNING, EpisodeState.DISCARDED},
    RUNNING: set(END_STATES.values()),
    **{state: {RESETTING} for state in END_STATES.values()},
}
stamps = st.integers(0, 10**12)


class EpisodeLives(RuleBasedStateMachine):
    """Asks for anything at any time and keeps the books."""

    def __init__(self):
        super().__init__()
        self.machine = EpisodeMachine()
        self.requested = 0
        self.begun, self.ended = [], []
        self.events = []

    def ask(self, is_legal, method, *arguments):
        """Ask for a change; a refused one must leave no trace."""
        before = dict(vars(self.machine))
        if not is_legal:
            with pytest.raises(SessionError):
                method(*arguments)
            assert vars(self.machine) == before
            return None
        event = method(*arguments)
        assert event.state in NEXT[before["state"]]
        assert event.state is self.machine.state
        assert event.facts is self.machine.facts
        self.events.append(event)
        return event

    @rule(stamp_ns=stamps)
    def request(self, stamp_ns):
        facts = EpisodeFacts(id=f"e{self.requested}")
        if self.ask(not self.machine.is_busy, self.machine.request, facts, stamp_ns):
            self.requested += 1

    @rule(stamp_ns=stamps)
    def begin(self, stamp_ns):
        event = self.ask(self.machine.state is RESETTING, self.machine.begin, stamp_ns)
        if event:
            self.begun.append((event.facts.id, event.stamp_ns))

    @rule(outcome=st.sampled_from(Outcome), stamp_ns=stamps, reason=st.text(max_size=5))
    def end(self, outcome, stamp_ns, reason):
        was_running = self.machine.state is RUNNING
        is_legal = outcome in END_STATES and (
            was_running or (self.machine.state is RESETTING and outcome is Outcome.DISCARDED)
        )
        event = self.ask(is_legal, self.machine.end, outcome, stamp_ns, reason)
        if event is None:
            return
        last = self.machine.last
        assert (last.outcome, last.reason, last.end_ns) == (outcome, reason, event.stamp_ns)
        assert last.end_ns >= last.start_ns
        assert last.duration_s >= 0.0
        assert OUTCOMES[event.state] is outcome
        if was_running:
            self.ended.append(event.facts.id)
            assert last.start_ns == self.begun[-1][1]

    @invariant()
    def every_episode_that_began_ends_exactly_once(self):
        begun = [name for name, _ in self.begun]
        running = begun[-1:] if self.machine.state is RUNNING else []
        assert self.ended + running == begun
        assert len(set(begun)) == len(begun)

    @invariant()
    def busy_means_resetting_or_running(self):
        assert self.machine.is_busy == (self.machine.state in (RESETTING, RUNNING))
        assert self.machine.state is (self.events[-1].state if self.events else IDLE)


TestEpisodeLives = EpisodeLives.TestCase
TestEpisodeLives.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def test_a_refusal_says_why():
    machine = EpisodeMachine()
    with pytest.raises(SessionError, match="no episode is being reset"):
        machine.begin(0)
    machine.request(EpisodeFacts(id="e1"), 0)
    with pytest.raises(SessionError, match="episode e1 has not begun; it can only be discarded"):
        machine.end(Outcome.SUCCESS, 0)
    machine.begin(1)
    with pytest.raises(SessionError, match="episode e1 is running; end it first"):
        machine.request(EpisodeFacts(id="e2"), 2)
    with pytest.raises(SessionError, match="cannot end as incomplete"):
        machine.end(Outcome.INCOMPLETE, 2)
    machine.end(Outcome.SUCCESS, 2)
    with pytest.raises(SessionError, match="no episode is running"):
        machine.end(Outcome.SUCCESS, 3)


def test_an_end_stamped_before_the_start_lasts_no_time():
    machine = EpisodeMachine()
    machine.request(EpisodeFacts(id="e"), 0)
    machine.begin(100)
    assert machine.end(Outcome.FAILURE, 50).stamp_ns == 100
    assert machine.last.duration_s == 0.0
