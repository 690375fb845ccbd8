"""The conductor: whatever happens in whatever order, every episode ends once and counts once."""

from collections import deque
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reward_node.conductor import MOST_LOSSES, Conductor
from reward_node.outputs import Call, Limits
from reward_node.requests import PastEpisode, Phase
from reward_node.reset_watch import PersonResets
from reward_node.session import Session
from reward_node.session_config import SessionConfig
from so101.clock import NS_PER_S, POLICY_GRID
from so101.episode import EpisodeFacts, EpisodeState, Outcome
from so101.errors import SessionError
from so101.events import EpisodeEvent, RewardEvent
from so101.observation import Observation
from so101.rewards.rater import Verdict
from so101.simulation.tasks.task import Start
from so101.status_events import GroupRequest, LearnerStatus, PolicyInfo, RecorderStatus

IDLE, RESETTING, RUNNING = EpisodeState.IDLE, EpisodeState.RESETTING, EpisodeState.RUNNING
SUCCEEDED, FAILED = EpisodeState.SUCCEEDED, EpisodeState.FAILED
TRUNCATED, DISCARDED = EpisodeState.TRUNCATED, EpisodeState.DISCARDED
GOOD, BAD, OPEN = "good", "bad", "open"
LIMITS = Limits(policy_s=0.5, teleop_s=1.0)
GAP_TICKS = 300  # a reset in lock-step moves time on
LEGAL = {
    IDLE: {RESETTING},
    RESETTING: {RUNNING, DISCARDED},
    RUNNING: {SUCCEEDED, FAILED, TRUNCATED, DISCARDED},
    **{end: {RESETTING} for end in (SUCCEEDED, FAILED, TRUNCATED, DISCARDED)},
}


class FakeRater:
    """Says what it was told to say next, else that the episode is open."""

    def __init__(self):
        self.verdicts = deque()
        self.resets = 0

    def reset(self):
        self.resets += 1

    def update(self, observation):
        word = self.verdicts.popleft() if self.verdicts else OPEN
        return Verdict(
            reward=float(word == GOOD),
            probability=float(word == GOOD),
            is_success=word == GOOD,
            is_failure=word == BAD,
            kind="success" if word == GOOD else "dropped",
        )


def start_of(facts):
    """A start that differs from every other episode's."""
    return Start(
        positions=np.full(6, facts.seed % 97 / 100), objects=np.full((1, 7), facts.seed % 89 / 100)
    )


def observation(stamp_ns, start=None, *, off=0.0):
    start = start or Start(positions=np.full(6, 9.0), objects=np.full((1, 7), 9.0))
    return Observation(
        stamp_ns=stamp_ns,
        positions=start.positions + off,
        velocities=np.zeros(6),
        effort=np.zeros(6),
        command=start.positions,
        objects=start.objects,
    )


class Stage:
    """A conductor with a clock, and everything it ever published."""

    def __init__(self, past=(), has_recorder=True, resets=None, **config):
        settings = {"job": "record", "demonstrations": 2, "recovery": 0.0, **config}
        self.rater = FakeRater()
        self.session = Session(SessionConfig(**settings), past)
        self.conductor = Conductor(
            self.session,
            self.rater,
            start_of,
            LIMITS,
            has_recorder=has_recorder,
            resets=resets,
        )
        self.tick = 30
        self.out = []
        self.promotes = True

    @property
    def now_ns(self):
        return POLICY_GRID.stamp(self.tick)

    def take(self):
        fresh = self.conductor.take()
        self.out += fresh
        if self.promotes and Call(service="learner/promote") in fresh:
            self.conductor.learner.on_promoted()
        return fresh

    @property
    def events(self):
        return [item for item in self.out if isinstance(item, EpisodeEvent)]

    @property
    def calls(self):
        return [item.service for item in self.out if isinstance(item, Call)]

    def poll(self):
        self.conductor.poll(self.now_ns)
        return self.take()

    def see(self, *, at_start=False, off=0.0, verdict=OPEN):
        self.tick += GAP_TICKS if at_start else 1
        if verdict != OPEN:
            self.rater.verdicts.append(verdict)
        start = start_of(self.conductor.machine.facts) if at_start else None
        self.conductor.on_observation(observation(self.now_ns, start, off=off))
        return self.take()

    def recorded(self, state="saved", episode=None, reason=""):
        episode = episode or self.conductor.machine.facts.id
        self.conductor.on_recorder(
            RecorderStatus(stamp_ns=self.now_ns, episode=episode, state=state, reason=reason)
        )
        return self.take()

    def run_episode(self, verdict=GOOD):
        self.poll()
        self.see(at_start=True)
        self.see(verdict=verdict)
        self.recorded()

    def policy_runs(self, checkpoint):
        info = PolicyInfo(stamp_ns=0, checkpoint=checkpoint, highest_speed=1.25)
        self.conductor.on_policy(info, self.now_ns)

    def learner_says(self, phase, checkpoint="", reason="", group=-1):
        self.conductor.on_learner(
            LearnerStatus(
                stamp_ns=0,
                phase=phase,
                checkpoint=checkpoint,
                promoted=checkpoint,
                is_accepted=group >= 0,
                reason=reason,
                group=group,
            )
        )

    def states(self):
        return [event.state for event in self.events]


@pytest.mark.parametrize("off", [0.01, -2e-6])
def test_a_reset_is_acknowledged_only_by_the_very_start(off):
    stage = Stage()
    stage.poll()
    assert stage.see(at_start=True, off=off) == []
    assert stage.see() == []
    begun, reward = stage.see(at_start=True)
    assert (begun.state, begun.stamp_ns) == (RUNNING, stage.now_ns)
    assert (reward.stamp_ns, reward.terminated) == (stage.now_ns, False)
    assert stage.rater.resets == 1


@pytest.mark.parametrize(
    ("verdict", "state", "reason"), [(GOOD, SUCCEEDED, ""), (BAD, FAILED, "dropped")]
)
def test_the_rater_ends_an_episode(verdict, state, reason):
    stage = Stage()
    stage.poll()
    stage.see(at_start=True)
    reward, end = stage.see(verdict=verdict)
    assert isinstance(reward, RewardEvent) and reward.terminated
    assert reward.reward == float(verdict == GOOD)
    assert (end.state, end.reason, end.stamp_ns) == (state, reason, stage.now_ns)
    assert stage.see() == []  # nobody rates what comes after


@pytest.mark.parametrize(("source", "limit_s"), [("teleop", 1.0), ("policy", 0.5)])
def test_the_time_limit_truncates_and_says_what_was_missing(source, limit_s):
    stage = Stage(job="manual")
    stage.policy_runs("aa")
    stage.conductor.start_manually(stage.now_ns, source, 5)
    stage.see(at_start=True)
    begun_ns = stage.now_ns
    while stage.states()[-1] is RUNNING:
        reward = stage.see()[0]
    assert not reward.terminated  # truncated is not terminated
    end = stage.events[-1]
    assert (end.state, end.reason) == (TRUNCATED, "time limit: dropped")
    assert 0 <= (end.stamp_ns - begun_ns) / NS_PER_S - limit_s < 1 / 30


def test_the_next_episode_waits_for_the_bag():
    stage = Stage()
    stage.poll()
    stage.see(at_start=True)
    stage.see(verdict=GOOD)
    assert stage.poll() == []
    assert stage.recorded(episode="somebody-else") == []
    assert stage.poll() == []
    stage.recorded()
    (event,) = stage.poll()
    assert (event.state, event.facts.rollout) == (RESETTING, 1)


def test_without_a_recorder_nobody_is_waited_for():
    stage = Stage(has_recorder=False)
    stage.poll()
    stage.see(at_start=True)
    stage.see(verdict=GOOD)
    assert stage.poll()[0].state is RESETTING


def test_a_lost_recording_does_not_count():
    stage = Stage()
    stage.poll()
    stage.see(at_start=True)
    stage.see(verdict=GOOD)
    stage.recorded("lost", reason="disk")
    assert stage.session.done_and_goal == (0, 2)
    assert stage.poll()[0].state is RESETTING


def test_a_recording_that_could_not_be_begun_does_not_block_the_session():
    """The recorder says so while the episode runs, and has nothing more to say at its end."""
    stage = Stage()
    stage.poll()
    stage.see(at_start=True)
    stage.recorded("lost", reason="disk full")
    stage.see(verdict=GOOD)
    assert stage.session.done_and_goal == (0, 2)
    assert stage.poll()[0].state is RESETTING


def test_a_session_whose_recordings_are_always_lost_stops_and_says_why():
    stage = Stage(demonstrations=50)
    while stage.conductor.finish is None:
        stage.poll()
        if stage.conductor.finish is None:
            stage.see(at_start=True)
            stage.recorded("lost", reason="0.10 GB free")
            stage.see(verdict=GOOD)
    assert stage.states().count(RUNNING) == MOST_LOSSES
    assert "0.10 GB free" in stage.conductor.finish.summary
    assert not stage.conductor.finish.is_complete


def test_losses_that_are_not_in_a_row_do_not_stop_it():
    stage = Stage(demonstrations=10)
    for _ in range(2 * MOST_LOSSES):
        stage.run_episode()
        stage.poll()
        stage.see(at_start=True)
        stage.see(verdict=GOOD)
        stage.recorded("lost")
    assert stage.conductor.finish is None
    assert stage.session.done_and_goal == (2 * MOST_LOSSES, 10)


def test_a_recording_session_ends_with_a_summary_once():
    stage = Stage()
    stage.run_episode()
    stage.run_episode()
    (finish,) = stage.poll()
    assert (finish.state, finish.facts.id, finish.facts.phase) == (IDLE, "session", "done")
    assert finish.reason.startswith("2 successful demonstrations of 2")
    assert stage.poll() == []


def rl_stage(**config):
    stage = Stage(
        job="rl",
        demonstrations=1,
        max_demonstrations=1,
        evaluation_episodes=2,
        target_success=0.5,
        **config,
    )
    stage.run_episode()
    return stage


def waits_for(stage):
    wait = stage.conductor.wait
    return "" if wait is None else wait.what


def test_it_says_what_an_episode_waits_for():
    stage = Stage()
    assert waits_for(stage) == ""
    stage.poll()
    assert waits_for(stage) == "the reset of demo-0000: arm or objects are not at its start"
    stage.see(at_start=True)
    before = stage.conductor.wait
    assert before.what == "the next observation of demo-0000"
    stage.see()
    assert stage.conductor.wait != before  # it goes on
    stage.see(verdict=GOOD)
    assert waits_for(stage) == "the recorder to save demo-0000"
    stage.recorded()
    assert waits_for(stage) == ""
    stage.conductor.session.is_paused = True
    assert "call session/pause false" in waits_for(stage)


@pytest.mark.parametrize("mode", ["disarmed", "estopped", "fault"])
def test_it_says_that_the_arm_cannot_move_and_what_helps(mode):
    stage = Stage()
    stage.conductor.on_arm(mode, "", stage.now_ns)
    assert stage.poll() == []
    assert waits_for(stage).startswith(f"the arm: the arm is {mode}; call arm/")
    stage.conductor.on_arm("armed", "", stage.now_ns)
    assert waits_for(stage) == ""


def test_it_says_why_the_arm_cannot_move_to_who_waits_and_to_who_asks():
    stage = Stage()
    stage.conductor.on_arm("fault", "no answer from servo 3", stage.now_ns)
    assert waits_for(stage).endswith("to go on (no answer from servo 3)")
    with pytest.raises(SessionError, match="no answer from servo 3"):
        stage.conductor.start_manually(stage.now_ns, "policy", 1)


def test_it_says_that_the_learner_or_the_policy_has_yet_to_answer():
    stage = rl_stage()
    assert waits_for(stage) == ""
    stage.poll()
    assert waits_for(stage) == "the learner to fine-tune; it has said nothing yet"
    stage.learner_says("loading")
    assert waits_for(stage) == "the learner to fine-tune; its last word: loading"
    stage.learner_says("trained", "c0ffee")
    stage.poll()
    assert waits_for(stage) == "the policy to load checkpoint c0ffee; it runs none"
    info = PolicyInfo(stamp_ns=0, checkpoint="", waiting_for="its canary: joints differ")
    stage.conductor.on_policy(info, stage.now_ns)
    assert waits_for(stage).endswith("it runs none; it says: its canary: joints differ")
    stage.policy_runs("c0ffee")
    assert waits_for(stage) == ""


def test_nothing_is_waited_for_when_it_is_over_or_by_hand():
    stage = Stage(demonstrations=1)
    stage.run_episode()
    stage.poll()
    assert stage.conductor.finish is not None
    assert waits_for(stage) == ""
    assert waits_for(Stage(job="manual")) == ""


def test_the_whole_job():
    stage = rl_stage()
    stage.poll()
    assert stage.calls == ["learner/train"]
    stage.poll()
    assert stage.calls == ["learner/train"]  # asked once
    stage.learner_says("training")
    stage.learner_says("trained", "aa")
    stage.poll()
    assert stage.states()[-1] is SUCCEEDED  # the policy does not run it yet
    stage.policy_runs("old")
    assert stage.poll() == []
    stage.policy_runs("aa")
    for verdict in (GOOD, BAD):
        stage.run_episode(verdict)
        facts = stage.events[-1].facts
        assert (facts.source, facts.checkpoint, facts.phase) == ("policy", "aa", "evaluation")
    stage.poll()
    stage.poll()
    assert stage.calls == ["learner/train", "learner/promote"]
    assert stage.events[-1].facts.phase == "done"


def test_a_learner_that_was_away_is_asked_to_promote_again():
    """Killed while others evaluate: what is asked of a dead process is heard by nobody."""
    stage = rl_stage()
    stage.promotes = False
    stage.poll()
    stage.learner_says("trained", "aa")
    stage.poll()
    stage.policy_runs("aa")
    for verdict in (GOOD, BAD):
        stage.run_episode(verdict)
    stage.poll()
    assert waits_for(stage) == "the learner to promote the candidate"
    assert stage.poll() == []
    stage.learner_says("idle")
    stage.take()
    assert stage.calls == ["learner/train", "learner/promote", "learner/promote"]
    stage.conductor.learner.on_promoted()
    stage.learner_says("idle")
    (finish,) = stage.poll()
    assert finish.facts.phase == "done"
    assert stage.calls.count("learner/promote") == 2


def test_a_failed_training_stops_the_session_with_its_reason():
    stage = rl_stage()
    stage.poll()
    stage.learner_says("failed", reason="no successful demonstration")
    (finish,) = stage.poll()
    assert finish.facts.phase == "stopped"
    assert "training failed: no successful demonstration" in finish.reason


def test_what_the_learner_said_before_it_was_asked_counts_for_nothing():
    stage = Stage(job="rl", demonstrations=1, max_demonstrations=1)
    stage.learner_says("trained", "old")
    stage.learner_says("failed", reason="old")
    stage.run_episode()
    stage.poll()
    assert stage.calls == ["learner/train"]


def test_a_policy_that_runs_another_checkpoint_is_not_evaluated():
    stage = Stage(job="evaluate", evaluation_episodes=1)
    stage.conductor.session.checkpoint = "aa"
    stage.policy_runs("bb")
    assert stage.poll() == []
    assert stage.poll() == []
    stage.policy_runs("aa")
    assert stage.poll()[0].facts.checkpoint == "aa"


def test_a_trial_whose_policy_is_gone_is_run_again_when_it_is_back():
    stage = Stage(job="evaluate", evaluation_episodes=2)
    stage.policy_runs("aa")
    stage.poll()
    stage.poll()
    stage.see(at_start=True)
    stage.policy_runs("aa")
    assert stage.take() == []
    rated_ns = stage.now_ns
    stage.tick += 5
    stage.policy_runs("")  # another process, which has loaded nothing yet
    (end,) = stage.take()
    assert (end.state, end.stamp_ns, end.reason) == (DISCARDED, rated_ns, "its policy is gone")
    stage.recorded()
    assert stage.poll() == []
    assert stage.poll() == []
    stage.policy_runs("aa")
    (again,) = stage.poll()
    assert (again.state, again.facts.seed) == (RESETTING, end.facts.seed)
    stage.see(at_start=True)
    stage.see(verdict=GOOD)
    stage.recorded()
    stage.run_episode(BAD)
    stage.poll()
    assert stage.conductor.finish.summary.startswith("1 of 2 evaluation episodes succeeded")


def test_a_demonstration_needs_no_policy():
    stage = Stage()
    stage.poll()
    stage.see(at_start=True)
    stage.policy_runs("")
    assert stage.take() == []


def test_an_evaluation_without_a_named_checkpoint_takes_the_loaded_one():
    stage = Stage(job="evaluate", evaluation_episodes=1)
    assert stage.poll() == []
    stage.policy_runs("bb")
    assert stage.poll()[0].facts.checkpoint == "bb"


@pytest.mark.parametrize("said", ["", "stack the cups"])
def test_every_episode_of_a_session_says_what_was_asked_for(said):
    manual = Stage(job="manual", instruction=said)
    manual.policy_runs("aa")
    manual.conductor.start_manually(manual.now_ns, "policy", 1)
    manual.see(at_start=True)
    planned = Stage(job="record", instruction=said).poll()
    for event in (manual.events[-1], planned[0]):
        assert event.facts.words == (said or "pick up the cube")
        assert event.facts.task == "pick"  # the simulation's start is found by its name


def test_an_arms_episodes_begin_with_its_prefix_also_when_one_is_made_again():
    stage = Stage(id_prefix="left-")
    assert stage.session.new_id("demo-0000") == "left-demo-0000"
    assert stage.session.new_id("demo-0000") == "left-demo-0000-2"
    assert Stage(id_prefix="left-").poll()[0].facts.id == "left-demo-0000"


def test_manual_episodes():
    stage = Stage(job="manual")
    with pytest.raises(SessionError, match="no checkpoint"):
        stage.conductor.start_manually(stage.now_ns, "policy", 1)
    stage.policy_runs("aa")
    name = stage.conductor.start_manually(stage.now_ns, "policy", 1)
    with pytest.raises(SessionError, match="end it first"):
        stage.conductor.start_manually(stage.now_ns, "policy", 1)
    stage.see(at_start=True)
    assert stage.events[-1].facts == EpisodeFacts(
        id=name,
        task="pick",
        instruction="pick up the cube",
        source="policy",
        checkpoint="aa",
        seed=1,
        start_pose="std",
    )
    stage.conductor.end(Outcome.FAILURE, stage.now_ns, "operator")
    with pytest.raises(SessionError, match="still being saved"):
        stage.conductor.start_manually(stage.now_ns, "policy", 2)
    stage.recorded()
    assert stage.conductor.start_manually(stage.now_ns, "teleop", 2) != name
    (event,) = stage.poll()  # only what was asked for
    assert event.state is RESETTING


def test_manual_episodes_never_take_the_name_of_one_in_the_store():
    """Simulated time begins anew with every session."""
    first = Stage(job="manual")
    name = first.conductor.start_manually(first.now_ns, "teleop", 1)
    past = PastEpisode(facts=EpisodeFacts(id=name), outcome=Outcome.SUCCESS)
    second = Stage([past], job="manual")
    assert second.conductor.start_manually(second.now_ns, "teleop", 1) != name


def test_an_arm_that_cannot_move_starts_no_episode_by_hand():
    stage = Stage(job="manual")
    stage.conductor.on_arm("disarmed", "not armed yet", 0)
    with pytest.raises(SessionError, match="disarmed; call arm/arm"):
        stage.conductor.start_manually(stage.now_ns, "teleop", 1)


def test_a_session_that_runs_by_itself_starts_nothing_by_hand():
    stage = Stage()
    with pytest.raises(SessionError, match="runs by itself"):
        stage.conductor.start_manually(stage.now_ns, "teleop", 1)


@pytest.mark.parametrize("job", ["record", "manual"])
def test_a_person_begins_every_episode_of_a_real_robot(job):
    """Whoever asked for it: the session, or the first of the person's two words."""
    stage = Stage(job=job, resets=PersonResets())
    if job == "manual":
        stage.conductor.start_manually(stage.now_ns, "teleop", 1)
    stage.poll()
    assert [stage.see() for _ in range(30)] == [[]] * 30
    name = stage.conductor.start_manually(stage.now_ns, "teleop", 1)
    begun = stage.see()[0]
    assert (begun.state, begun.facts.id) == (RUNNING, name)
    assert "episode/start" in PersonResets.awaited


def test_what_is_waited_for_in_a_real_reset_is_the_person():
    stage = Stage(resets=PersonResets())
    stage.poll()
    assert PersonResets.awaited in stage.conductor.wait.what


def test_nothing_to_end():
    stage = Stage()
    with pytest.raises(SessionError, match="no episode is running"):
        stage.conductor.end(Outcome.SUCCESS, stage.now_ns, "operator")
    assert stage.take() == []


def test_an_episode_that_is_redone_is_recorded_as_discarded_and_run_again():
    stage = Stage()
    stage.poll()
    stage.see(at_start=True)
    stage.conductor.end(Outcome.DISCARDED, stage.now_ns, "operator")
    assert stage.poll() == [stage.events[-1]]
    stage.recorded()
    (again,) = stage.poll()
    assert again.state is RESETTING
    assert stage.session.done_and_goal == (0, 2)


def test_an_operator_ends_at_the_last_rated_tick():
    """Later ticks may never be complete, and the recorder would wait for their rewards."""
    stage = Stage()
    stage.poll()
    stage.see(at_start=True)
    stage.see()
    rated_ns = stage.now_ns
    stage.conductor.end(Outcome.SUCCESS, rated_ns + NS_PER_S, "operator")
    assert stage.take()[0].stamp_ns == rated_ns


@pytest.mark.case(2, 7)
@pytest.mark.parametrize(
    ("is_running", "state"), [(True, TRUNCATED), (False, DISCARDED)], ids=["running", "resetting"]
)
@pytest.mark.parametrize("mode", ["estopped", "fault", "disarmed"])
def test_an_arm_that_cannot_move_cuts_the_episode_and_the_session_waits(mode, is_running, state):
    stage = Stage()
    stage.poll()
    if is_running:
        stage.see(at_start=True)
    stage.conductor.on_arm(mode, "button", stage.now_ns)
    (end,) = stage.take()
    assert end.state is state
    assert mode in end.reason and "button" in end.reason and "arm/arm" in end.reason
    if is_running:
        stage.recorded()
    for still in (mode, "disarmed"):
        stage.conductor.on_arm(still, "recovered", stage.now_ns)
        assert stage.poll() == []
    stage.conductor.on_arm("holding", "armed", stage.now_ns)
    assert stage.poll()[0].state is RESETTING


def test_an_episode_of_a_robot_that_falls_silent_is_run_again():
    stage = Stage(job="evaluate", evaluation_episodes=1)
    stage.policy_runs("aa")
    stage.poll()
    seeds = []
    for is_running in (False, True, False):
        (asked,) = stage.poll()
        seeds.append(asked.facts.seed)
        if is_running:
            stage.see(at_start=True)
        stage.conductor.on_silence(stage.now_ns)
        assert stage.take()[-1].state is DISCARDED
        if is_running:
            stage.recorded()
    assert len(set(seeds)) == 1
    while stage.session.phase not in (Phase.DONE, Phase.STOPPED):
        stage.poll()
        if stage.conductor.machine.is_busy:
            stage.conductor.on_silence(stage.now_ns)
        stage.take()
    assert "of 1 evaluation episodes were finished" in stage.session.summary()


def test_an_episode_started_by_hand_keeps_what_it_has_when_the_robot_falls_silent():
    stage = Stage(job="manual")
    stage.conductor.start_manually(stage.now_ns, "teleop", 0)
    stage.see(at_start=True)
    stage.conductor.on_silence(stage.now_ns)
    assert stage.take()[-1].state is TRUNCATED


def test_what_is_in_the_store_is_not_asked_for_again():
    facts = EpisodeFacts(id="demo-0000", phase="demonstrations")
    stage = Stage([PastEpisode(facts=facts, outcome=Outcome.SUCCESS)])
    assert stage.poll()[0].facts.id == "demo-0001"


class AnyOrder(RuleBasedStateMachine):
    """Everything that can reach a conductor, in any order, right or wrong."""

    def __init__(self):
        super().__init__()
        self.stage = Stage(
            job="rl",
            demonstrations=2,
            max_demonstrations=2,
            evaluation_episodes=2,
            target_success=0.0,
        )
        self.is_stuck = False

    @rule(times=st.integers(1, 2))
    def poll(self, times):
        for _ in range(times):
            self.stage.poll()

    @rule(at_start=st.booleans(), verdict=st.sampled_from([OPEN, OPEN, GOOD, BAD]))
    def see(self, at_start, verdict):
        is_known = self.stage.conductor.machine.facts is not None
        self.stage.rater.verdicts.clear()
        self.stage.see(at_start=at_start and is_known, verdict=verdict)

    @rule(state=st.sampled_from(["saved", "saved", "lost"]), is_ours=st.booleans())
    def recorder(self, state, is_ours):
        facts = self.stage.conductor.machine.facts
        self.stage.recorded(state, facts.id if facts and is_ours else "another")

    @rule(
        phase=st.sampled_from(["idle", "loading", "training", "trained", "failed"]),
        checkpoint=st.sampled_from(["aa", "bb"]),
        chance=st.integers(0, 4),
    )
    def learner(self, phase, checkpoint, chance):
        if phase != "failed" or chance == 0:
            self.stage.learner_says(phase, checkpoint)

    @rule(checkpoint=st.sampled_from(["", "aa", "bb"]))
    def policy(self, checkpoint):
        self.stage.policy_runs(checkpoint)
        self.stage.take()

    @rule(mode=st.sampled_from(["armed", "holding", "holding", "disarmed", "estopped", "fault"]))
    def arm(self, mode):
        self.is_stuck = mode not in ("armed", "holding")
        self.stage.conductor.on_arm(mode, "", self.stage.now_ns)
        self.stage.take()

    @rule(outcome=st.sampled_from(list(Outcome)))
    def operator(self, outcome):
        with suppress(SessionError):
            self.stage.conductor.end(outcome, self.stage.now_ns, "operator")
        self.stage.take()

    @rule()
    def silence(self):
        if self.stage.conductor.machine.is_busy:
            self.stage.conductor.on_silence(self.stage.now_ns)
        self.stage.take()

    @invariant()
    def what_was_published_is_legal(self):
        state, facts, stamp_ns, ids = IDLE, None, 0, []
        for event in self.stage.events:
            if event.facts.id == "session":
                assert event is self.stage.events[-1]
                continue
            assert event.state in LEGAL[state], (state, event.state)
            if event.state is RESETTING:
                facts = event.facts
                ids.append(facts.id)
            assert event.facts == facts
            if event.state is not RESETTING:
                assert event.stamp_ns >= stamp_ns or event.state is RUNNING
            state, stamp_ns = event.state, event.stamp_ns
        assert len(set(ids)) == len(ids)

    @invariant()
    def rewards_lie_within_episodes(self):
        is_running, last_ns = False, -1
        for item in self.stage.out:
            if isinstance(item, EpisodeEvent):
                if item.state.is_end and is_running:
                    assert item.stamp_ns == last_ns  # it ends on a rated tick
                is_running, last_ns = item.state is RUNNING, item.stamp_ns - 1
            elif isinstance(item, RewardEvent):
                assert is_running and item.stamp_ns > last_ns
                last_ns = item.stamp_ns

    @invariant()
    def nobody_starts_anything_while_the_arm_cannot_move(self):
        busy = self.stage.conductor.machine.is_busy
        assert not (busy and self.is_stuck)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


class CrashingPolicy(RuleBasedStateMachine):
    """An evaluation is of the policy, not of its crashes, whenever those happen."""

    def __init__(self):
        super().__init__()
        self.stage = Stage(job="evaluate", evaluation_episodes=3)
        self.machine = self.stage.conductor.machine
        self.abandoned = set()

    @rule()
    def poll(self):
        self.stage.poll()

    @precondition(lambda self: self.machine.is_busy)
    @rule(verdict=st.sampled_from([OPEN, GOOD, BAD]))
    def see(self, verdict):
        if self.machine.state is RESETTING:
            self.stage.see(at_start=True)
        else:
            self.stage.see(verdict=verdict)

    @precondition(lambda self: self.machine.facts is not None)
    @rule()
    def recorder(self):
        self.stage.recorded()

    @rule(checkpoint=st.sampled_from(["aa", "aa", ""]))
    def policy(self, checkpoint):
        if self.machine.is_busy and not checkpoint:
            self.abandoned.add(self.machine.facts.id)
        self.stage.policy_runs(checkpoint)
        self.stage.take()

    @invariant()
    def a_trial_that_lost_its_policy_is_discarded(self):
        for event in self.stage.events:
            if event.state.is_end:
                assert (event.state is DISCARDED) == (event.facts.id in self.abandoned)

    @invariant()
    def every_start_is_tried_until_it_counts(self):
        asked = [event for event in self.stage.events if event.state is RESETTING]
        for event, following in pairwise(asked):
            again = event.facts.id in self.abandoned
            assert following.facts.seed == event.facts.seed + (not again)

    @invariant()
    def none_begins_before_the_policy_is_back(self):
        if self.machine.is_busy:
            assert self.stage.conductor.running_checkpoint == "aa"


TestCrashingPolicy = CrashingPolicy.TestCase
TestCrashingPolicy.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_the_session_ends_as_stopped_when_told_to():
    stage = Stage()
    stage.session.stop("enough")
    (finish,) = stage.poll()
    assert finish.facts.phase == Phase.STOPPED.value


def grouped(rule="gated"):
    """A stage whose session has come to its first group."""
    stage = Stage(
        job="rl",
        demonstrations=1,
        evaluation_episodes=1,
        target_success=1.0,
        groups=2,
        rollouts=1,
        rule=rule,
        seed=5,
    )
    stage.run_episode()
    stage.poll()
    stage.learner_says("trained", "sft")
    stage.policy_runs("sft")
    stage.poll()
    stage.run_episode()
    stage.poll()
    stage.run_episode()
    return stage


def test_a_group_is_learned_from_by_request_and_only_its_own_answer_counts():
    stage = grouped()
    (request,) = (item for item in stage.poll() if isinstance(item, GroupRequest))
    assert stage.calls == ["learner/train", "learner/promote"]
    assert (request.group, request.checkpoint, request.rule) == (0, "sft", "gated")
    assert request.highest_speed == 1.25  # what the policy says its chunks allow
    assert (request.seed, request.start, request.time_limit_s) == (5, "std", LIMITS.policy_s)
    stage.learner_says("trained", "other", group=-1)  # a heartbeat of the fine-tuning
    assert stage.poll() == []
    stage.learner_says("trained", "better", group=0)
    assert stage.poll() == []  # the policy does not run it yet
    stage.policy_runs("better")
    (event,) = stage.poll()
    assert (event.facts.group, event.facts.checkpoint) == (1, "better")


def test_a_rollback_is_heard_once_and_the_groups_are_asked_for_anew():
    stage = grouped()
    stage.poll()
    stage.learner_says("trained", "better", group=0)
    stage.poll()
    stage.policy_runs("better")
    stage.poll()  # a rollout of group 1 is asked for
    stage.see(at_start=True)
    for _ in range(3):  # a heartbeat repeats what is so
        stage.learner_says("taken back", "sft")
    stage.see(verdict=GOOD)
    stage.recorded()
    (request,) = (item for item in stage.poll() if isinstance(item, GroupRequest))
    assert (request.group, request.checkpoint) == (0, "sft")
    stage.policy_runs("sft")
    stage.learner_says("trained", "sft", group=0)
    stage.poll()
    (event,) = stage.poll()
    assert (event.facts.group, event.facts.checkpoint) == (1, "sft")


def test_a_learner_that_fails_in_a_group_stops_the_session_with_its_reason():
    stage = grouped()
    stage.poll()
    stage.learner_says("failed", reason="bags/x: damaged", group=0)
    (event,) = stage.poll()
    assert "training failed: bags/x: damaged" in event.reason


def test_what_people_have_to_do_is_said_once():
    stage = grouped("manual")
    (event,) = stage.poll()
    assert (event.state, event.facts.id, event.facts.phase) == (IDLE, "session", "rollouts")
    assert "group-00-rollout-00" in event.reason
    assert stage.poll() == []
    (rollout,) = (e.facts for e in stage.events if e.state is SUCCEEDED and e.facts.group == 0)
    stage.session.on_said([PastEpisode(facts=rollout, outcome=Outcome.SUCCESS, advantage=1.0)])
    assert isinstance(stage.poll()[0], GroupRequest)
    assert stage.conductor.finish is None


def test_a_learner_that_was_started_anew_is_asked_again():
    """Its fine-tuning was asked for by service, which a new process has not heard."""
    stage = Stage(job="rl", demonstrations=1)
    stage.run_episode()
    stage.poll()
    stage.learner_says("training")
    assert stage.take() == []
    stage.learner_says("idle")
    assert stage.take() == [Call(service="learner/train")]
    stage.learner_says("trained", "sft")
    stage.learner_says("idle")
    assert stage.take() == []


HOT = "hardware_node: servos: elbow_flex: temperature reached 61 °C; going on below 55 °C"


@pytest.mark.case(6, 7)
def test_an_obstacle_lets_the_episode_end_and_no_other_begin_until_it_is_gone():
    stage = Stage()
    stage.poll()
    stage.see(at_start=True)
    stage.session.obstacle = HOT
    stage.poll()
    assert stage.states()[-1] is RUNNING
    stage.see(verdict=GOOD)
    stage.recorded()
    for _ in range(3):
        assert stage.poll() == []
    assert waits_for(stage) == f"the robot: {HOT}"
    assert stage.conductor.wait.patience_s == 0.0
    stage.session.obstacle = ""
    (begun,) = stage.poll()
    assert (begun.state, begun.facts.rollout) == (RESETTING, 1)


def test_what_is_done_is_done_although_nothing_more_could_begin():
    stage = Stage(demonstrations=1)
    stage.run_episode()
    stage.session.obstacle = HOT
    stage.poll()
    assert stage.conductor.finish.is_complete


def test_a_policy_is_trained_while_the_arm_cools():
    stage = rl_stage()
    stage.session.obstacle = HOT
    stage.poll()
    assert stage.calls == ["learner/train"]
    assert waits_for(stage).startswith("the learner to fine-tune")


@pytest.mark.parametrize("job", ["manual", "record"])
def test_a_person_begins_nothing_in_front_of_an_obstacle_either(job):
    """Neither by hand nor where the scene of a session's episode is set up already."""
    stage = Stage(job=job, resets=PersonResets())
    stage.poll()
    stage.policy_runs("aa")
    for _ in range(40):
        stage.see()
    stage.session.obstacle = HOT
    with pytest.raises(SessionError, match=r"no episode can begin: .*elbow_flex"):
        stage.conductor.start_manually(stage.now_ns, "policy", 5)
    assert waits_for(stage) == f"the robot: {HOT}"
    stage.see()
    assert RUNNING not in stage.states()
    stage.session.obstacle = ""
    stage.conductor.start_manually(stage.now_ns, "policy", 5)
