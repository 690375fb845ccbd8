"""Laws of the groups: who acts, how fast, when is learned, and what people have yet to say."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reward_node.progress import most_tries
from reward_node.requests import (
    Finish,
    Learned,
    Load,
    PastEpisode,
    Phase,
    Promote,
    StartEpisode,
    Train,
)
from reward_node.session import Session
from reward_node.session_config import SessionConfig
from so101.episode import Outcome
from so101.groups.exploration import draw_speed

SUCCESS, FAILURE, DISCARDED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.DISCARDED
TRUNCATED = Outcome.TRUNCATED
CONFIG = SessionConfig(
    demonstrations=1, evaluation_episodes=1, target_success=1.0, groups=3, rollouts=2, seed=7
)
COUNTED = {SUCCESS, FAILURE, TRUNCATED}


def learned(before, after):
    """The learner's answer where the gate judges before a policy acts."""
    return Learned(checkpoint=after, promoted=after, is_accepted=after != before)


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
            session.on_loaded(request.checkpoint, 2.0)
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
                self.session.on_loaded(request.checkpoint, 2.0)
            elif isinstance(request, Train) and request.group < 0:
                self.session.on_trained("sft")
            elif isinstance(request, Train) and request.group in self.verdicts:
                after = self.verdicts[request.group]
                self.session.on_learned(learned(request.checkpoint, after))
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
            assert request.facts.id not in self.store
            if request.facts.phase == "evaluation":  # what the groups led to, on the same pose
                assert (self.group, self.acting) == (3, request.facts.checkpoint)
                assert request.facts.seed == 7_500_000
                assert request.facts.speed == 1.0
                self.end(request.facts, SUCCESS)
                return
            assert request.facts.rollout == min(set(range(self.config.rollouts)) - set(counted))
            self.open = request
        elif isinstance(request, Train):
            assert sorted(counted) == list(range(self.config.rollouts))
            assert all(one.advantage is not None for one in counted.values())
            assert (request.group, request.checkpoint) == (self.group, self.acting)
            self.open = request
        elif isinstance(request, Load):
            assert request.checkpoint == self.acting
            self.session.on_loaded(self.acting, 2.0)
        elif isinstance(request, Finish):
            assert self.group == self.config.groups
            assert request.is_complete and f"{self.group} of 3 groups" in request.summary
            is_changed = self.acting != "sft"
            assert ("afterwards 1 of 1 evaluation episodes" in request.summary) == is_changed
            assert ("no policy was accepted" in request.summary) != is_changed
            self.is_finished = True
        else:
            raise AssertionError(request)

    @precondition(lambda self: isinstance(self.open, StartEpisode))
    @rule(outcome=st.sampled_from([SUCCESS, SUCCESS, FAILURE, TRUNCATED, DISCARDED]))
    def rollout_ends(self, outcome):
        facts, self.open = self.open.facts, None
        assert facts.group == self.group and facts.checkpoint == self.acting
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
        self.session.on_learned(learned(before, self.acting))

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
    session.on_learned(learned(wanted.checkpoint, answer))
    assert session.next() == Load(checkpoint=answer)
    session.on_loaded(answer, 2.0)
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
    closing = session.next().facts
    assert (closing.phase, closing.checkpoint, closing.seed) == ("evaluation", "best", 7_500_000)
    assert closing.speed == 1.0
    session.on_episode(FAILURE, 1.0)
    finish = session.next()
    assert finish.is_complete  # the target is the supervised policy's
    assert "1 of 1 evaluation episodes succeeded" in finish.summary
    assert "3 of 3 groups of 2 rollouts, 2 policies accepted" in finish.summary
    assert "afterwards 0 of 1 evaluation episodes succeeded" in finish.summary


def play(session, verdicts, outcome=lambda facts: SUCCESS, episodes=1000):
    """Let a session run to its end or so many episodes; return what was run and its last word.

    Args:
        verdicts: Group to the policy that acts after it.
    """
    store, request = [], None
    while len(store) < episodes and not isinstance(request, Finish):
        request = session.next()
        if isinstance(request, StartEpisode):
            end = outcome(request.facts)
            store.append(PastEpisode(facts=request.facts, outcome=end, duration_s=1.0))
            session.on_episode(end, 1.0)
        elif isinstance(request, Load):
            session.on_loaded(request.checkpoint, 2.0)
        elif isinstance(request, Train) and request.group < 0:
            session.on_trained("sft")
        elif isinstance(request, Train):
            session.on_learned(learned(request.checkpoint, verdicts[request.group]))
    return store, request


def trials(store, checkpoint):
    return [
        e.facts for e in store if (e.facts.phase, e.facts.checkpoint) == ("evaluation", checkpoint)
    ]


BETTER = ["better", "better", "best"]
THREE = replace(CONFIG, evaluation_episodes=3)


def test_what_the_groups_led_to_is_tried_on_the_poses_of_the_supervised_policy():
    store, finish = play(Session(THREE), BETTER)
    before, after = trials(store, "sft"), trials(store, "best")
    assert [f.seed for f in after] == [f.seed for f in before] == [7_500_000 + i for i in range(3)]
    assert {(f.start_pose, f.task, f.speed) for f in (*before, *after)} == {("std", "pick", 1.0)}
    assert [e.facts.phase for e in store[-4:]] == ["rollouts"] + ["evaluation"] * 3
    assert not trials(store, "better")  # it acted, and was not what came of it
    assert "afterwards 3 of 3 evaluation episodes succeeded" in finish.summary


def test_where_nothing_was_accepted_the_first_evaluation_is_not_repeated():
    store, finish = play(Session(THREE), ["sft"] * 3)
    assert len(trials(store, "sft")) == 3
    assert store[-1].facts.phase == "rollouts"
    assert finish.is_complete
    assert "0 policies accepted" in finish.summary
    assert finish.summary.endswith("that evaluation stands for afterwards, too")


def test_a_restart_within_the_last_evaluation_runs_what_is_missing():
    whole, finish = play(Session(THREE), BETTER)
    for cut in range(len(whole) - 3, len(whole) + 1):
        again, last = play(Session(THREE, whole[:cut]), BETTER)
        assert again == whole[cut:]
        assert last == finish


def test_a_bad_last_evaluation_raises_no_goal_in_a_restarted_session():
    def outcome(facts):
        return FAILURE if facts.checkpoint == "best" and facts.phase == "evaluation" else SUCCESS

    whole, finish = play(Session(THREE), BETTER, outcome)
    assert finish.is_complete and "afterwards 0 of 3" in finish.summary
    assert play(Session(THREE, whole), BETTER, outcome) == ([], finish)


def test_one_group_more_ends_in_an_evaluation_of_what_it_led_to():
    whole, _ = play(Session(THREE), BETTER)
    more, finish = play(Session(replace(THREE, groups=4), whole), [*BETTER, "newest"])
    assert [e.facts.phase for e in more] == ["rollouts"] * 2 + ["evaluation"] * 3
    assert len(trials(more, "newest")) == 3
    same, _ = play(Session(replace(THREE, groups=4), whole), [*BETTER, "best"])
    assert [e.facts.phase for e in same] == ["rollouts"] * 2  # "best" was evaluated before
    assert finish.is_complete


def test_another_round_of_demonstrations_begins_groups_of_its_own():
    """Demonstrations, evaluation, groups, evaluation; then the same again with more shown."""
    whole, _ = play(Session(THREE), BETTER)
    session = Session(replace(THREE, demonstrations=2), whole)
    assert session.next().facts.phase == "demonstrations"
    session.on_episode(SUCCESS, 1.0)
    assert session.next() == Train()
    session.on_trained("sft 2")
    session.next()
    session.on_loaded("sft 2")
    more, _ = play(session, ["sft 2", "other", "other"])
    phases = [e.facts.phase for e in more]
    assert phases == ["evaluation"] * 3 + ["rollouts"] * 6 + ["evaluation"] * 3
    assert {e.facts.checkpoint for e in more[3:7]} == {"sft 2"}


def test_a_finished_run_without_groups_leaves_what_the_groups_promoted():
    whole, _ = play(Session(THREE), BETTER)
    session = Session(replace(THREE, groups=0), whole)
    requests = []
    while not requests or not isinstance(requests[-1], Finish):
        requests.append(session.next())
        if isinstance(requests[-1], Train):
            session.on_trained("sft")
        elif isinstance(requests[-1], Load):
            session.on_loaded("sft")
    assert not any(isinstance(request, Promote) for request in requests)


def test_who_acts_on_trial_is_not_what_the_session_ends_with():
    """Judged by the next group: a candidate acts before anybody knows whether it is better."""
    session = at_groups()
    session._groups.bound(2.0)
    answers = [
        Learned(checkpoint="first", promoted="sft", is_accepted=True),  # on the supervised one
        Learned(checkpoint="second", promoted="sft", is_accepted=False),
        Learned(checkpoint="third", promoted="second", is_accepted=True),
    ]
    actors, windows = [], []
    for answer in answers:
        for _ in range(CONFIG.rollouts):
            actors.append(session.next().facts.checkpoint)
            session.on_episode(SUCCESS, 1.0)
        windows.append(session.next().highest_speed)
        session.on_learned(answer)
        load = session.next()
        session.on_loaded(load.checkpoint, 2.0)
    assert actors == ["sft", "sft", "first", "first", "second", "second"]
    assert windows == pytest.approx([1.5, 1.6, 1.6])
    assert load == Load(checkpoint="second")  # "third" was never judged and never acts
    assert session.next().facts.checkpoint == "second"
    session.on_episode(SUCCESS, 1.0)
    assert "1 policies accepted; afterwards 1 of 1" in session.next().summary


def test_a_policy_that_a_person_took_back_makes_no_rollout_more():
    """The session asks anew what came of every group, and goes on with who is promoted now."""
    session = at_groups()
    run_group(session, [SUCCESS, SUCCESS], "better")
    running = session.next().facts
    assert running.checkpoint == "better"
    session.on_taken_back()
    assert session.next() is None  # the rollout that runs still ends
    session.on_policy_lost()
    session.on_episode(SUCCESS, 1.0)
    asked = session.next()
    assert (asked.group, asked.checkpoint) == (0, "sft")
    session.on_learned(learned("sft", "sft"))
    assert session.next() == Load(checkpoint="sft")
    session.on_loaded("sft", 2.0)
    again = session.next().facts
    assert (again.group, again.rollout, again.checkpoint) == (1, 0, "sft")
    assert (again.seed, again.id) == (running.seed, f"{running.id}-2")


def test_taken_back_while_it_is_loaded_or_evaluated_is_heard_as_well():
    for cut in range(7, 10):  # within the last evaluation
        store, _ = play(Session(THREE), BETTER, episodes=cut + 3)
        session = Session(THREE, store)
        play(session, BETTER, episodes=1)
        session.on_taken_back()
        more, finish = play(session, ["better", "better", "better"])
        assert not [e for e in more if e.facts.checkpoint == "best"]
        assert len(trials(more, "better")) == 3
        assert finish.is_complete


def test_taking_back_what_the_groups_began_with_ends_them():
    session = at_groups()
    session.next()
    session.on_taken_back()
    session.on_episode(SUCCESS, 1.0)
    assert session.next().summary.endswith(
        "stopped: the policy that the groups began with was taken back by a person"
    )


def test_the_window_keeps_within_what_the_acting_policys_chunks_allow():
    session = at_groups()
    session._groups.bound(16 / 11)  # three ticks of latency
    facts, wanted = run_group(session, [SUCCESS, SUCCESS], "better")
    assert wanted.highest_speed == pytest.approx(16 / 11)
    assert all(one.speed <= 16 / 11 for one in facts)


def test_a_latency_that_leaves_no_speed_to_explore_stops_the_session_in_words():
    session = Session(CONFIG)
    session.next()
    session.on_episode(SUCCESS, 1.0)
    session.next()
    session.on_trained("sft")
    session.next()
    session.on_loaded("sft", 0.9)
    finish = session.next()
    assert not finish.is_complete
    assert "up to factor 0.9 only" in finish.summary and "latency" in finish.summary
    alone = Session(replace(CONFIG, groups=0))
    play(alone, [], episodes=1)
    alone.next()
    alone.on_trained("sft")
    alone.next()
    alone.on_loaded("sft", 0.9)  # nothing is to be explored
    assert alone.next().facts.phase == "evaluation"


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
