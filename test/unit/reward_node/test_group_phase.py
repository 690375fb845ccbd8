"""Laws of the groups: who acts, how fast, when is learned, and what people have yet to say."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reward_node.progress import most_tries
from reward_node.requests import Finish, Load, PastEpisode, Phase, Promote, StartEpisode, Train
from reward_node.session import Session, SessionConfig
from so101.episode import Outcome
from so101.groups.exploration import draw_speed

SUCCESS, FAILURE, DISCARDED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.DISCARDED
TRUNCATED = Outcome.TRUNCATED
CONFIG = SessionConfig(
    demonstrations=1, evaluation_episodes=1, target_success=1.0, groups=3, rollouts=2, seed=7
)
COUNTED = {SUCCESS, FAILURE, TRUNCATED}


def evaluated(session):
    """Bring a session to its groups; return the promotion it asks for first, if it does."""
    while session.phase is not Phase.ROLLOUTS or session._open is not None:
        request = session.next()
        if isinstance(request, (Promote, Finish)) or request is None:
            return request
        if isinstance(request, StartEpisode) and request.facts.phase == "rollouts":
            return request
        if isinstance(request, StartEpisode):
            session.on_episode(SUCCESS, 1.0)
        elif isinstance(request, Train):
            session.on_trained("sft")
        else:
            session.on_loaded(request.checkpoint)
    return None


class Groups(RuleBasedStateMachine):
    """Rollouts end, are rated, are lost; the gate says yes or no; the session is restarted."""

    def __init__(self):
        super().__init__()
        self.config = replace(CONFIG, rule="manual")
        self.store, self.verdicts = {}, {}
        self.acting, self.group = "sft", 0
        self.start()

    def start(self):
        """Start a session on the store; ask the learner again what it said before."""
        self.session = Session(self.config, tuple(self.store.values()))
        self.open = None
        self.is_finished = False
        self.is_promoted = bool(self.rollouts())
        request = None
        while not isinstance(request, (Promote, Finish)):
            request = self.session.next()
            if isinstance(request, StartEpisode) and request.facts.phase == "rollouts":
                self.open = request
                break
            if request is None:
                break
            if isinstance(request, StartEpisode):
                self.end(request.facts, SUCCESS)
            elif isinstance(request, Load):
                self.session.on_loaded(request.checkpoint)
            elif isinstance(request, Train) and request.group < 0:
                self.session.on_trained("sft")
            elif isinstance(request, Train) and request.group in self.verdicts:
                self.session.on_trained(self.verdicts[request.group])
            elif isinstance(request, Train):
                self.open = request
                break
        assert isinstance(request, Promote) == (not self.is_promoted)
        self.is_finished = isinstance(request, Finish)

    def rollouts(self, group=None):
        return [
            one
            for one in self.store.values()
            if one.facts.phase == "rollouts" and group in (None, one.facts.group)
        ]

    def counted(self):
        return {r.facts.rollout: r for r in self.rollouts(self.group) if r.outcome in COUNTED}

    def end(self, facts, outcome):
        self.store[facts.id] = PastEpisode(facts=facts, outcome=outcome, duration_s=1.0)
        if outcome is DISCARDED:
            self.session.on_discarded()
        else:
            self.session.on_episode(outcome, 1.0)

    @precondition(lambda self: self.open is None and not self.is_finished)
    @rule()
    def next(self):
        request = self.session.next()
        counted = self.counted()
        if request is None:
            unrated = [r.facts.id for r in counted.values() if r.advantage is None]
            assert len(counted) == self.config.rollouts and unrated
            assert set(self.session.unrated) == set(unrated)
            assert all(name in self.session.waiting_for for name in unrated)
        elif isinstance(request, StartEpisode):
            assert len(counted) < self.config.rollouts
            assert request.facts.id not in self.store
            self.open = request
        elif isinstance(request, Train):
            assert sorted(counted) == list(range(self.config.rollouts))
            assert all(one.advantage is not None for one in counted.values())
            assert (request.group, request.checkpoint) == (self.group, self.acting)
            self.open = request
        elif isinstance(request, Load):
            assert request.checkpoint == self.acting
            self.session.on_loaded(self.acting)
        elif isinstance(request, Finish):
            assert self.group == self.config.groups
            assert request.is_complete and f"{self.group} of 3 groups" in request.summary
            self.is_finished = True
        else:
            raise AssertionError(request)

    @precondition(lambda self: isinstance(self.open, StartEpisode))
    @rule(outcome=st.sampled_from([SUCCESS, SUCCESS, FAILURE, TRUNCATED, DISCARDED]))
    def rollout_ends(self, outcome):
        facts, self.open = self.open.facts, None
        assert facts.group == self.group and facts.checkpoint == self.acting
        assert facts.rollout == min(set(range(self.config.rollouts)) - set(self.counted()))
        self.end(facts, outcome if len(self.rollouts(self.group)) < 5 else SUCCESS)

    @precondition(lambda self: not isinstance(self.open, Train))
    @rule(data=st.data())
    def somebody_rates(self, data):
        names = [one.facts.id for one in self.rollouts(self.group) if one.outcome in COUNTED]
        if not names:
            return
        name = data.draw(st.sampled_from(names))
        is_discarded = data.draw(st.booleans()) and len(self.rollouts(self.group)) < 5
        said = {"outcome": DISCARDED} if is_discarded else {"advantage": 1.0}
        self.store[name] = replace(self.store[name], **said)
        self.session.on_said(tuple(self.store.values()))

    @precondition(lambda self: isinstance(self.open, Train))
    @rule(is_accepted=st.booleans())
    def learner_answers(self, is_accepted):
        before = self.acting
        self.acting = f"group {self.group}" if is_accepted else before
        self.verdicts[self.group] = self.acting
        self.open = None
        self.group += 1
        self.session.on_trained(self.acting)

    @rule()
    def policy_is_lost(self):
        self.session.on_policy_lost()

    @rule(chance=st.integers(0, 4))
    def restart(self, chance):
        if chance == 0:
            self.start()

    @invariant()
    def one_policy_acted_in_each_group_at_speeds_within_its_window(self):
        for group in range(self.config.groups):
            tried = self.rollouts(group)
            assert len({one.facts.checkpoint for one in tried}) <= 1
            assert all(1.0 <= one.facts.speed <= 2.0 for one in tried)
            assert len({(r.facts.rollout, r.facts.seed) for r in tried}) <= self.config.rollouts

    @invariant()
    def progress_is_what_the_store_holds(self):
        if self.session.phase is Phase.ROLLOUTS and not self.is_finished:
            assert self.session.done_and_goal[0] in (len(self.counted()), 0)


TestGroups = Groups.TestCase
TestGroups.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)


def at_groups(**changes):
    session = Session(replace(CONFIG, **changes))
    assert isinstance(evaluated(session), Promote)
    return session


def run_group(session, outcomes, answer):
    """Run a group; return the facts of its rollouts and what was wanted of the learner."""
    facts = []
    for outcome in outcomes:
        facts.append(session.next().facts)
        session.on_episode(outcome, 1.0)
    wanted = session.next()
    session.on_trained(answer)
    assert session.next() == Load(checkpoint=answer)
    session.on_loaded(answer)
    return facts, wanted


def test_speeds_are_those_of_a_run_in_process_and_the_window_follows_gate_and_success():
    session = at_groups()
    facts, wanted = run_group(session, [SUCCESS, SUCCESS], "better")
    assert [one.speed for one in facts] == [draw_speed(7, 0, number, 1.5) for number in range(2)]
    assert wanted == Train(group=0, highest_speed=1.5, checkpoint="sft")
    facts, wanted = run_group(session, [SUCCESS, SUCCESS], "better")  # rejected: it stays
    assert [one.speed for one in facts] == [draw_speed(7, 1, number, 1.6) for number in range(2)]
    assert wanted == Train(group=1, highest_speed=1.6, checkpoint="better")
    facts, wanted = run_group(session, [SUCCESS, FAILURE], "best")  # accepted, but too few did it
    assert wanted.highest_speed == pytest.approx(1.6)
    assert session._groups.highest_speed == pytest.approx(1.5)
    finish = session.next()
    assert finish.is_complete
    assert finish.summary.endswith("3 of 3 groups of 2 rollouts, 2 policies accepted")


def test_without_groups_the_session_ends_with_its_evaluation():
    session = at_groups(groups=0)
    assert isinstance(session.next(), Finish)


def test_a_policy_short_of_its_target_makes_no_rollouts():
    session = Session(replace(CONFIG, max_demonstrations=1))
    session.next()
    session.on_episode(SUCCESS, 1.0)
    session.next()
    session.on_trained("sft")
    session.next()
    session.on_loaded("sft")
    session.next()
    session.on_episode(FAILURE, 1.0)
    finish = session.next()
    assert not finish.is_complete and "short of the target" in finish.summary


def test_rollouts_that_never_get_anywhere_end_in_a_reason():
    session = at_groups()
    for _ in range(most_tries(CONFIG.rollouts)):
        assert session.next().facts.rollout == 0
        session.on_discarded()
    assert session.next().summary.endswith("stopped: only 0 of 2 rollouts were finished")


def test_a_discarded_rating_runs_the_rollout_again_under_another_name():
    session = at_groups(rule="manual")
    episodes = []
    for _ in range(2):
        episodes.append(PastEpisode(facts=session.next().facts, outcome=SUCCESS))
        session.on_episode(SUCCESS, 1.0)
    assert session.next() is None
    assert "2 of 2 rollouts are not rated" in session.waiting_for
    session.on_said([replace(episodes[0], outcome=DISCARDED)])
    assert session.waiting_for == ""
    again = session.next().facts
    assert (again.rollout, again.id) == (0, "group-00-rollout-00-2")
    assert again.seed == episodes[0].facts.seed
    session.on_episode(SUCCESS, 1.0)
    said = [PastEpisode(facts=f, outcome=SUCCESS, advantage=1.0) for f in (again,)]
    session.on_said([*said, replace(episodes[1], advantage=0.0)])
    assert session.next().group == 0
