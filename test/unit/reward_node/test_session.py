"""Laws of the session: one wish at a time, nothing forgotten, a restart changes nothing."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reward_node.progress import Tally, most_tries
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
from so101.episode import EpisodeFacts, Outcome
from so101.errors import ConfigError, SessionError

SUCCESS, FAILURE, DISCARDED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.DISCARDED
TRUNCATED, INCOMPLETE = Outcome.TRUNCATED, Outcome.INCOMPLETE
SMALL = SessionConfig(
    demonstrations=3,
    more_demonstrations=2,
    max_demonstrations=6,
    evaluation_episodes=3,
    target_success=0.6,
    recovery=0.4,
    seed=7,
)
configs = st.builds(
    SessionConfig,
    job=st.sampled_from(["rl", "rl", "rl", "record", "evaluate"]),
    demonstrations=st.integers(1, 5),
    more_demonstrations=st.integers(1, 4),
    max_demonstrations=st.integers(5, 9),
    evaluation_episodes=st.integers(1, 5),
    target_success=st.sampled_from([0.0, 0.5, 0.75, 1.0]),
    recovery=st.sampled_from([0.0, 0.3, 1.0]),
    groups=st.integers(0, 3),
    rollouts=st.integers(1, 4),
    seed=st.integers(0, 3),
)


class World:
    """Recorder, learner and policy: answers every request; the answers depend on nothing else
    than what the request asks for, as a repeatable run's do."""

    def __init__(self, seed):
        self.seed = seed
        self.store = []

    def outcome(self, facts):
        draw = Random(f"{self.seed} {facts.id} {facts.seed}").random()
        if draw < 0.2:
            return DISCARDED
        if draw < 0.3:
            return TRUNCATED
        is_good = draw > (0.4 if facts.phase == "demonstrations" else 0.7)
        return SUCCESS if is_good else FAILURE

    def checkpoint(self):
        good = [
            e for e in self.store if e.facts.phase == "demonstrations" and e.outcome is SUCCESS
        ]
        return f"{len(good):04d}{self.seed:08d}"

    def learned(self, request):
        """Another policy, or the one before: the gate's word on a group never changes."""
        draw = Random(f"{self.seed} {request.group} {request.checkpoint}").random()
        acting = f"group-{request.group}" if draw < 0.5 else request.checkpoint
        is_accepted = acting != request.checkpoint
        return Learned(checkpoint=acting, promoted=acting, is_accepted=is_accepted)

    def answer(self, session, request):
        if isinstance(request, StartEpisode):
            outcome = self.outcome(request.facts)
            self.store.append(
                PastEpisode(facts=request.facts, outcome=outcome, duration_s=len(self.store) + 1.0)
            )
            if outcome is DISCARDED:
                session.on_discarded()
            else:
                session.on_episode(outcome, self.store[-1].duration_s)
        elif isinstance(request, Train):
            if request.group >= 0:
                session.on_learned(self.learned(request))
            else:
                session.on_trained(self.checkpoint())
        elif isinstance(request, Load):
            session.on_loaded(request.checkpoint or "given")


def play(session, world, episodes=None):
    """Let a session run; return its requests. It is cut after so many episodes, or at its end."""
    requests = []
    while episodes is None or episodes > 0:
        request = session.next()
        assert request is not None
        requests.append(request)
        if isinstance(request, Finish):
            assert session.next() is None
            break
        world.answer(session, request)
        if isinstance(request, StartEpisode) and episodes is not None:
            episodes -= 1
        assert len(requests) < 1000
    return requests


def episodes_of(requests):
    return [request.facts for request in requests if isinstance(request, StartEpisode)]


@settings(max_examples=80)
@given(config=configs, seed=st.integers(0, 10**6), cut=st.floats(0, 1))
def test_a_restarted_session_goes_on_as_if_nothing_had_happened(config, seed, cut):
    world = World(seed)
    whole = play(Session(config), world)
    episodes = episodes_of(whole)
    at = round(cut * len(episodes))
    broken = World(seed)
    before = play(Session(config), broken, at)
    after = play(Session(config, tuple(broken.store)), broken)
    assert episodes_of(before) + episodes_of(after) == episodes
    assert after[-1] == whole[-1]
    assert broken.store == world.store


@given(config=configs, seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 4), max_size=6))
def test_restarts_without_a_trace_of_the_last_episode_repeat_no_id(config, seed, cuts):
    """Killed between the end of an episode and its bag, or marked incomplete afterwards."""
    world, random = World(seed), Random(seed)
    for cut in cuts:
        play(Session(config, tuple(world.store)), world, cut)
        lost = world.store.pop(random.randrange(len(world.store))) if world.store else None
        if lost is not None and random.random() < 0.5:
            world.store.append(
                PastEpisode(facts=lost.facts, outcome=random.choice([INCOMPLETE, None]))
            )
    play(Session(config, tuple(world.store)), world)
    ids = [episode.facts.id for episode in world.store]
    assert len(set(ids)) == len(ids)
    demonstrations = [e.facts for e in world.store if e.facts.phase == "demonstrations"]
    assert len({facts.seed for facts in demonstrations}) == len(demonstrations)


@given(config=configs, seed=st.integers(0, 10**6))
def test_a_session_comes_to_its_end_and_says_how(config, seed):
    world = World(seed)
    session = Session(config)
    requests = play(session, world)
    finish = requests[-1]
    assert isinstance(finish, Finish)
    facts = episodes_of(requests)
    assert len({f.id for f in facts}) == len(facts)
    demonstrations = [f for f in facts if f.phase == "demonstrations"]
    assert [f.rollout for f in demonstrations] == list(range(len(demonstrations)))
    assert len(demonstrations) <= most_tries(session.goal)
    assert session.goal <= max(config.max_demonstrations, config.demonstrations)
    promoted = [request for request in requests if isinstance(request, Promote)]
    has_groups = any(f.phase == "rollouts" for f in facts)
    assert len(promoted) == ((finish.is_complete and config.job == "rl") or has_groups)
    assert finish.is_complete == (session.phase is Phase.DONE and "short of" not in finish.summary)


class Books(RuleBasedStateMachine):
    """Answers rightly, wrongly, late or never, pauses and stops, and keeps the books."""

    def __init__(self):
        super().__init__()
        self.session = Session(SMALL)
        self.open = None
        self.is_finished = False
        self.is_stopped = False
        self.asked, self.outcomes, self.trials = [], [], Counter()

    @rule()
    def next(self):
        request = self.session.next()
        if self.open is not None or self.is_finished:
            assert request is None
            return
        if request is None:
            assert self.session.is_paused
            return
        if isinstance(request, Finish):
            self.is_finished = True
        elif not isinstance(request, Promote):
            self.open = request
        if isinstance(request, StartEpisode):
            self.asked.append(request.facts)
        if isinstance(request, StartEpisode) and request.facts.phase == "evaluation":
            number = self.trials[request.facts.checkpoint]  # one that did not count comes again
            assert request.facts.rollout == number
            assert request.facts.seed == SMALL.seed * 1_000_000 + 500_000 + number

    @rule(outcome=st.sampled_from([SUCCESS, SUCCESS, SUCCESS, FAILURE, TRUNCATED]))
    def episode_ends(self, outcome):
        if not isinstance(self.open, StartEpisode):
            self.refused(self.session.on_episode, outcome, 1.0)
            return
        facts = self.open.facts
        if facts.phase == "evaluation":
            self.trials[facts.checkpoint] += 1
        else:
            self.outcomes.append(outcome)
        self.open = None
        self.session.on_episode(outcome, 1.0)

    @rule()
    def episode_is_discarded(self):
        if not isinstance(self.open, StartEpisode):
            self.refused(self.session.on_discarded)
            return
        self.open = None
        self.session.on_discarded()

    @rule()
    def policy_is_lost(self):
        self.session.on_policy_lost()

    @rule(checkpoint=st.sampled_from(["aa", "bb"]))
    def trained(self, checkpoint):
        if not isinstance(self.open, Train):
            self.refused(self.session.on_trained, checkpoint)
            return
        self.open = None
        self.session.on_trained(checkpoint)

    @rule(checkpoint=st.sampled_from(["", "aa", "bb"]))
    def loaded(self, checkpoint):
        if not isinstance(self.open, Load) or checkpoint != self.open.checkpoint:
            self.refused(self.session.on_loaded, checkpoint)
            return
        self.open = None
        self.session.on_loaded(checkpoint)

    @rule(is_paused=st.booleans())
    def pause(self, is_paused):
        self.session.is_paused = is_paused

    @rule(chance=st.integers(0, 30))
    def stop(self, chance):
        if chance == 0 and not isinstance(self.open, StartEpisode) and not self.is_finished:
            self.open = None
            self.session.stop("no more")

    def refused(self, method, *arguments):
        before = {k: repr(v) for k, v in vars(self.session).items()}
        with pytest.raises(SessionError):
            method(*arguments)
        assert {k: repr(v) for k, v in vars(self.session).items()} == before

    @invariant()
    def ids_are_unique_and_demonstrations_differ(self):
        assert len({facts.id for facts in self.asked}) == len(self.asked)
        seeds = [facts.seed for facts in self.asked if facts.phase == "demonstrations"]
        assert len(set(seeds)) == len(seeds)

    @invariant()
    def nothing_is_counted_twice_or_forgotten(self):
        done, goal = self.session.done_and_goal
        if self.session.phase is Phase.DEMONSTRATIONS:
            assert done == self.outcomes.count(SUCCESS)
            assert SMALL.demonstrations <= goal <= SMALL.max_demonstrations
        if self.session.phase is Phase.EVALUATION:
            assert done == self.trials[self.session.checkpoint]


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


def good_demonstrations(session, number):
    for _ in range(number):
        request = session.next()
        assert request.facts.phase == "demonstrations"
        session.on_episode(SUCCESS, 1.0)


def evaluated(session, checkpoint, successes):
    """Train, load and evaluate, with so many successes."""
    assert session.next() == Train()
    session.on_trained(checkpoint)
    assert session.next() == Load(checkpoint=checkpoint)
    session.on_loaded(checkpoint)
    for i in range(session.config.evaluation_episodes):
        assert session.next().facts.rollout == i
        session.on_episode(SUCCESS if i < successes else FAILURE, 1.0)


def test_a_null_policy_scores_zero_and_the_session_says_what_is_missing():
    """It collects more, up to the bound, and then says what it is short of."""
    session = Session(SMALL)
    for number, (more, goal) in enumerate([(3, 3), (2, 5), (1, 6)]):
        assert session.goal == goal or number > 0
        good_demonstrations(session, more)
        evaluated(session, f"null{number}", 0)
    finish = session.next()
    assert not finish.is_complete
    assert "6 successful demonstrations of 6 tried" in finish.summary
    assert "0 of 3 evaluation episodes succeeded (95 % interval 0.00-0.56)" in finish.summary
    assert "short of the target 60% with 6 demonstrations (bound: 6)" in finish.summary


def test_a_good_policy_is_promoted_once():
    session = Session(SMALL)
    good_demonstrations(session, 3)
    evaluated(session, "good", 2)
    assert session.next() == Promote(checkpoint="good")
    finish = session.next()
    assert finish.is_complete
    assert session.next() is None
    assert "2 of 3 evaluation episodes succeeded" in finish.summary


def test_demonstrations_that_fail_end_in_a_reason():
    session = Session(SMALL)
    while not isinstance(request := session.next(), Finish):
        session.on_episode(FAILURE, 1.0)
    assert not request.is_complete
    assert request.summary.endswith("only 0 of 16 demonstrations succeeded, 3 are needed")


def test_an_evaluation_that_never_gets_anywhere_ends_in_a_reason():
    session = Session(SMALL)
    good_demonstrations(session, 3)
    session.next()
    session.on_trained("aa")
    session.next()
    session.on_loaded("aa")
    while not isinstance(request := session.next(), Finish):
        assert request.facts.rollout == 0  # the same start again
        session.on_discarded()
    assert request.summary.endswith("only 0 of 3 evaluation episodes were finished")


def test_a_lost_policy_is_loaded_again_and_the_trials_before_count():
    session = Session(SMALL)
    good_demonstrations(session, 3)
    session.next()
    session.on_trained("aa")
    session.next()
    session.on_loaded("aa")
    session.next()
    session.on_episode(SUCCESS, 1.0)
    cut = session.next().facts
    session.on_policy_lost()
    session.on_discarded()
    assert session.next() == Load(checkpoint="aa")
    session.on_loaded("aa")
    again = session.next().facts
    assert (again.rollout, again.seed) == (cut.rollout, cut.seed) == (1, cut.seed)
    assert again.id != cut.id


def test_a_training_without_a_checkpoint_stops_the_session():
    session = Session(SMALL)
    good_demonstrations(session, 3)
    session.next()
    session.on_trained("")
    finish = session.next()
    assert not finish.is_complete
    assert "stopped: the training led to no checkpoint" in finish.summary


def test_demonstrations_of_others_count_and_more_are_collected_beyond_them():
    others = [
        PastEpisode(facts=EpisodeFacts(id=f"x{i}", phase="demonstrations"), outcome=SUCCESS)
        for i in range(5)
    ]
    session = Session(SMALL, others)
    evaluated(session, "aa", 0)
    assert session.next().facts.id == "demo-0005"
    assert session.done_and_goal == (5, 6)


def past_of(session_config, successes, trials):
    """Return a store with so many demonstrations, then evaluations that all failed."""
    session, store = Session(session_config), []
    for _ in range(successes):
        store.append(PastEpisode(facts=session.next().facts, outcome=SUCCESS))
        session.on_episode(SUCCESS, 0.0)
    trial = Session(SessionConfig(**{**vars(session_config), "job": "evaluate"}), (), "aa")
    trial.next()
    trial.on_loaded("aa")
    for _ in range(trials):
        store.append(PastEpisode(facts=trial.next().facts, outcome=FAILURE))
        trial.on_episode(FAILURE, 0.0)
    return store


def test_a_restart_after_a_bad_evaluation_collects_what_was_to_be_collected():
    assert Session(SMALL, past_of(SMALL, 3, 3)).done_and_goal == (3, 5)
    assert Session(SMALL, past_of(SMALL, 3, 2)).done_and_goal == (3, 3)


def test_an_evaluation_made_by_hand_meanwhile_raises_no_goal():
    assert Session(SMALL, past_of(SMALL, 2, 3)).done_and_goal == (2, 3)


def test_evaluations_of_something_else_do_not_count():
    session = Session(SMALL)
    good_demonstrations(session, 3)
    session.next()
    session.on_trained("aa")
    session.next()
    session.on_loaded("aa")
    facts = session.next().facts
    trials = [
        EpisodeFacts(**{**vars(facts), **change})
        for change in (
            {"checkpoint": "bb"},
            {"task": "place"},
            {"start_pose": "wide"},
            {"seed": facts.seed + 1},
            {"phase": "manual"},
        )
    ]
    for past in trials:
        again = Session(
            SessionConfig(**{**vars(SMALL), "job": "evaluate"}),
            [PastEpisode(facts=past, outcome=SUCCESS)],
            checkpoint="aa",
        )
        again.next()
        again.on_loaded("aa")
        assert again.done_and_goal == (0, 3)
    past = [PastEpisode(facts=facts, outcome=SUCCESS)]
    same = Session(SessionConfig(**{**vars(SMALL), "job": "evaluate"}), past, checkpoint="aa")
    same.next()
    same.on_loaded("aa")
    assert same.done_and_goal == (1, 3)


def test_an_episode_that_ends_after_the_session_was_stopped_still_counts():
    session = Session(SMALL)
    session.next()
    session.stop("enough")
    finish = session.next()
    session.on_episode(SUCCESS, 1.0)
    assert session.next() is None
    assert finish.summary == "stopped: enough"
    assert session.summary() == "1 successful demonstrations of 1 tried; stopped: enough"


def test_a_paused_session_asks_for_nothing_but_takes_answers():
    session = Session(SMALL)
    session.next()
    session.is_paused = True
    session.on_episode(SUCCESS, 1.0)
    assert session.next() is None
    session.is_paused = False
    assert session.next().facts.rollout == 1


def test_a_manual_session_asks_for_nothing():
    session = Session(SessionConfig(job="manual"))
    assert session.next() is None
    assert session.summary() == "nothing was done"


def test_recording_ends_with_the_demonstrations():
    session = Session(SessionConfig(job="record", demonstrations=2))
    good_demonstrations(session, 2)
    assert session.next().is_complete


def test_a_bound_below_the_goal_is_refused():
    with pytest.raises(ConfigError, match="demonstrations=200 is more than"):
        SessionConfig(demonstrations=200, max_demonstrations=150)
    SessionConfig(job="record", demonstrations=200, max_demonstrations=150)


@given(successes=st.integers(0, 100), trials=st.integers(1, 100))
def test_a_share_given_in_decimals_is_reached_exactly(successes, trials):
    tally = Tally()
    for i in range(trials):
        tally.count(SUCCESS if i < successes else FAILURE, 1.0)
    reached = min(successes, trials) / trials
    assert tally.reaches(reached)
    assert not tally.reaches(min(1.0, reached + 1e-9)) or reached == 1.0


def test_seven_of_a_hundred_are_7_percent():
    """As a floating-point product, 0.07 * 100 is more than 7."""
    assert Tally(tries=100, attempts=100, successes=7).reaches(0.07)


def test_no_attempts_reach_nothing():
    assert not Tally().reaches(0.0)
