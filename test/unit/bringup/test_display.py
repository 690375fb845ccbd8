"""What a person reads: one line per event, a summary at the end, nothing twice."""

from dataclasses import replace

import pytest

from reward_node.requests import PastEpisode
from so101.episode import EpisodeFacts, EpisodeState, Outcome
from so101.events import EpisodeEvent
from so101.status_events import LearnerStatus, RecorderStatus, SessionStatus
from so101_bringup.display import ArmWord, Display

NS = 1_000_000_000


def event(state, *, name="demo-0000", phase="demonstrations", at_s=1.0, reason=""):
    facts = EpisodeFacts(id=name, phase=phase)
    return EpisodeEvent(stamp_ns=round(at_s * NS), state=state, facts=facts, reason=reason)


def play(display, name, state, *, phase="demonstrations", lasts_s=2.0, reason=""):
    """Show a whole episode; return its one line."""
    assert display.on_episode(event(EpisodeState.RESETTING, name=name, phase=phase)) == []
    assert display.on_episode(event(EpisodeState.RUNNING, name=name, phase=phase)) == []
    end = event(state, name=name, phase=phase, at_s=1.0 + lasts_s, reason=reason)
    (line,) = display.on_episode(end)
    assert display.on_episode(end) == []  # a latched event is heard twice
    return line


def learner(phase, **values):
    return LearnerStatus(stamp_ns=0, phase=phase, **values)


def test_a_line_says_what_ran_how_it_ended_and_how_long_it_took():
    display = Display({"demonstrations": 3})
    line = play(display, "demo-0000", EpisodeState.SUCCEEDED, lasts_s=4.25)
    assert line.split() == ["demonstrations", "1/3", "demo-0000", "succeeded", "4.2", "s"]


def arm(mode, reason=""):
    return ArmWord(mode=mode, reason=reason)


def test_a_real_arm_says_when_it_can_move_and_otherwise_why_not_and_what_to_do():
    display = Display({})
    assert display.on_arm(arm("disarmed")) == ["arm             disarmed; so101 call arm/arm"]
    assert display.on_arm(arm("armed", "by a person")) == ["arm             armed"]
    (line,) = display.on_arm(arm("fault", "no answer from servo 3"))
    assert line.endswith("fault: no answer from servo 3; so101 call arm/recover, then arm/arm")


def test_what_the_arm_said_already_is_no_line():
    display = Display({})
    display.on_arm(arm("holding", "nothing to do"))
    assert display.on_arm(arm("armed")) == display.on_arm(arm("holding", "no source")) == []
    assert len(display.on_arm(arm("estopped", "call"))) == 1
    assert display.on_arm(arm("estopped", "call")) == []


def test_only_successful_demonstrations_count_towards_their_goal():
    display = Display({"demonstrations": 3, "evaluation": 2})
    play(display, "demo-0000", EpisodeState.SUCCEEDED)
    assert "1/3" in play(display, "demo-0001", EpisodeState.FAILED, reason="dropped")
    assert "1/3" in play(display, "demo-0002", EpisodeState.DISCARDED)
    line = play(display, "eval-0", EpisodeState.TRUNCATED, phase="evaluation", reason="limit")
    assert "1/2" in line and line.endswith("limit")


def test_an_episode_that_was_discarded_while_resetting_is_no_line():
    display = Display({})
    display.on_episode(event(EpisodeState.RESETTING))
    assert display.on_episode(event(EpisodeState.DISCARDED)) == []
    assert display.closing_lines() == []


def test_a_display_that_came_late_shows_the_end_all_the_same():
    display = Display({})
    end = event(EpisodeState.TRUNCATED, reason="the arm is estopped")
    (line,) = display.on_episode(end)
    assert "truncated" in line and line.endswith("the arm is estopped")
    assert display.on_episode(end) == []
    (line,) = display.closing_lines()
    assert "0/1 succeeded" in line and "median" not in line


def test_the_closing_lines_say_per_phase_how_it_went():
    display = Display({})
    for name, state, lasts_s in (
        ("a", EpisodeState.SUCCEEDED, 2.0),
        ("b", EpisodeState.SUCCEEDED, 4.0),
        ("c", EpisodeState.FAILED, 9.0),
        ("d", EpisodeState.DISCARDED, 9.0),
    ):
        play(display, name, state, lasts_s=lasts_s)
    play(display, "e", EpisodeState.TRUNCATED, phase="evaluation")
    demonstrations, evaluation = display.closing_lines()
    assert "2/3 succeeded" in demonstrations and "median 3.0 s" in demonstrations
    assert "0/1 succeeded" in evaluation and "median" not in evaluation


@pytest.mark.parametrize(("phase", "is_complete"), [("done", True), ("stopped", False)])
def test_the_session_ends_with_its_own_words(phase, is_complete):
    display = Display({})
    assert display.summary is None
    words = "3 successful demonstrations"
    assert (
        display.on_episode(event(EpisodeState.IDLE, name="session", phase=phase, reason=words))
        == []
    )
    assert (display.summary, display.is_complete) == (words, is_complete)


def test_a_recorder_without_trouble_is_silent():
    display = Display({})
    saved = RecorderStatus(stamp_ns=0, episode="demo-0000", state="saved", messages=100)
    assert display.on_recorder(saved) == []
    missing = RecorderStatus(stamp_ns=0, episode="demo-0001", state="saved", missing=3)
    assert display.on_recorder(missing) == ["demo-0001: 3 messages are missing from the bag"]
    assert display.missing == 3
    lost = RecorderStatus(stamp_ns=0, episode="demo-0002", state="lost", reason="disk full")
    (line,) = display.on_recorder(lost)
    assert "demo-0002" in line and "disk full" in line


def test_training_is_shown_in_about_ten_steps():
    display = Display({})
    assert display.on_learner(learner("idle")) == []
    assert len(display.on_learner(learner("loading"))) == 1
    assert display.on_learner(learner("loading")) == []  # its heartbeat
    told = "900 ticks, 90 idle ones left out"
    (read,) = display.on_learner(learner("loading", reason=told))
    assert read == f"fine-tuning     {told}"
    assert display.on_learner(learner("loading", reason=told)) == []
    lines = []
    for step in range(0, 1001, 5):
        for _ in range(2):
            lines += display.on_learner(learner("training", step=step, steps=1000, loss=0.5))
    lines = [line for k, line in enumerate(lines) if line not in lines[:k]]
    assert 10 <= len(lines) <= 12
    assert "0/1000 steps" in lines[0] and "loss" not in lines[0]
    assert "1000/1000 steps, loss 0.5000" in lines[-1]
    (trained,) = display.on_learner(learner("trained", checkpoint="ab" * 32, loss=0.25))
    assert "abababababab," in trained and "loss 0.2500" in trained
    assert display.on_learner(learner("trained", checkpoint="ab" * 32)) == []


def test_the_end_of_the_training_is_said_once():
    display = Display({})
    display.on_learner(learner("training", step=1, steps=10))
    end = learner("training", step=10, steps=10, loss=0.1)
    assert len(display.on_learner(end)) == 1
    assert display.on_learner(end) == []


def test_a_failed_training_says_why_once():
    display = Display({})
    failed = learner("failed", reason="no demonstration")
    assert display.on_learner(failed) == ["fine-tuning failed: no demonstration"]
    assert display.on_learner(failed) == []


def test_a_word_of_the_session_in_between_is_a_line_and_no_end():
    display = Display({})
    words = event(EpisodeState.IDLE, name="session", phase="rollouts", reason="rate them")
    assert [line.split() for line in display.on_episode(words)] == [["waiting", "rate", "them"]]
    assert display.summary is None


def test_a_group_shows_its_training_its_gate_and_its_verdict():
    display = Display({})
    assert display.on_learner(learner("loading", group=2)) == ["group 2         reading the bags"]
    shown = display.on_learner(learner("training", group=2, step=60, steps=600, loss=0.5))
    assert shown == ["group 2         60/600 steps, loss 0.5000"]
    assert display.on_learner(learner("judging", group=2, step=1, steps=60)) != []
    assert display.on_learner(learner("judging", group=2, step=2, steps=60)) == []
    said = learner("trained", group=2, checkpoint="ab" * 8, loss=0.1, reason="rejected: slower")
    (line,) = display.on_learner(said)
    assert line.endswith("loss 0.1000; rejected: slower")
    assert display.on_learner(said) == []
    (failed,) = display.on_learner(learner("failed", group=3, reason="no bag"))
    assert failed == "group 3 failed: no bag"


def test_whoever_is_to_rate_a_group_sees_it_sorted_before_the_word_of_the_session():
    display = Display({"rollouts": 2})
    play(display, "group-00-rollout-00", EpisodeState.SUCCEEDED, phase="rollouts", lasts_s=5.0)
    play(display, "group-00-rollout-01", EpisodeState.SUCCEEDED, phase="rollouts", lasts_s=4.0)
    words = event(EpisodeState.IDLE, name="session", phase="rollouts", reason="rate them")
    faster, slower, waiting = display.on_episode(words)
    assert faster.split()[:4] == ["4.0", "s", "succeeded", "group-00-rollout-01,"]
    assert slower.split()[:4] == ["5.0", "s", "succeeded", "group-00-rollout-00,"]
    assert waiting.split() == ["waiting", "rate", "them"]


def test_a_group_that_is_over_is_a_table_with_the_fastest_first():
    display = Display({"rollouts": 4})
    play(display, "group-00-rollout-00", EpisodeState.SUCCEEDED, phase="rollouts", lasts_s=5.0)
    play(display, "group-00-rollout-01", EpisodeState.TRUNCATED, phase="rollouts", lasts_s=12.0)
    play(display, "group-00-rollout-02", EpisodeState.DISCARDED, phase="rollouts", lasts_s=1.0)
    play(display, "group-00-rollout-02-2", EpisodeState.SUCCEEDED, phase="rollouts", lasts_s=4.0)
    *table, last = display.on_learner(learner("loading", group=0))
    names = ["group-00-rollout-02-2,", "group-00-rollout-00,", "group-00-rollout-01,"]
    assert [line.split()[3] for line in table] == names
    assert table[0].split()[:3] == ["4.0", "s", "succeeded"]
    assert "reading the bags" in last
    assert len(display.on_learner(learner("loading", group=1))) == 1


def test_what_the_groups_led_to_is_evaluated_beside_the_first_evaluation():
    display = Display({"evaluation": 1})
    play(display, "eval-a", EpisodeState.TRUNCATED, phase="evaluation")
    play(display, "group-00-rollout-00", EpisodeState.SUCCEEDED, phase="rollouts")
    line = play(display, "eval-b", EpisodeState.SUCCEEDED, phase="evaluation")
    assert line.split()[:2] == ["afterwards", "1/1"]
    before, rollouts, after = display.closing_lines()
    assert "evaluation      0/1" in before
    assert "rollouts        1/1" in rollouts
    assert "afterwards      1/1" in after


GOALS = {"demonstrations": 3, "evaluation": 3, "rollouts": 4}


def stored(phase, outcome=Outcome.SUCCESS, *, lasts_s=2.0, checkpoint=""):
    facts = EpisodeFacts(id=f"{phase}-x", phase=phase, checkpoint=checkpoint)
    return PastEpisode(facts=facts, outcome=outcome, duration_s=lasts_s)


def test_a_restart_goes_on_counting_where_the_store_is():
    past = [
        stored("demonstrations", lasts_s=2.0),
        stored("demonstrations", Outcome.FAILURE),
        stored("demonstrations", Outcome.INCOMPLETE),
        stored("demonstrations", Outcome.DISCARDED),
        stored("demonstrations", None),
    ]
    display = Display(GOALS, past)
    assert "1/2 succeeded" in display.closing_lines()[0]
    assert "2/3" in play(display, "demo-0005", EpisodeState.SUCCEEDED, lasts_s=4.0)
    (line,) = display.closing_lines()
    assert "2/3 succeeded" in line and "median 3.0 s" in line


def test_a_restart_within_the_last_evaluation_is_still_afterwards():
    past = [
        stored("evaluation", Outcome.TRUNCATED),
        stored("rollouts"),
        stored("evaluation", checkpoint="b"),
    ]
    display = Display(GOALS, past)
    end = event(EpisodeState.SUCCEEDED, name="eval-b", phase="evaluation")
    facts = replace(end.facts, checkpoint="b")
    (line,) = display.on_episode(replace(end, facts=facts))
    assert line.split()[:2] == ["afterwards", "2/3"]
    before, rollouts, after = display.closing_lines()
    assert "evaluation      0/1" in before
    assert "rollouts        1/1" in rollouts
    assert "afterwards      2/2" in after


def test_demonstrations_after_groups_begin_a_round_of_their_own():
    past = [stored("demonstrations"), stored("rollouts"), stored("evaluation", checkpoint="b")]
    display = Display(GOALS, past)
    assert "2/3" in play(display, "demo-0001", EpisodeState.SUCCEEDED)
    line = play(display, "eval-c", EpisodeState.SUCCEEDED, phase="evaluation")
    assert line.split()[:2] == ["evaluation", "1/3"]


def test_of_the_store_only_what_is_aimed_at_counts():
    display = Display({"demonstrations": 3}, [stored("manual"), stored("rollouts")])
    assert display.closing_lines() == []


def test_what_the_session_waits_for_is_a_line_and_its_end_is_none():
    display = Display({})
    status = SessionStatus(stamp_ns=0, phase="loading", waiting="60 s for the policy")
    assert display.on_session(status) == ["waiting         60 s for the policy"]
    assert display.on_session(SessionStatus(stamp_ns=0, phase="loading")) == []
    assert display.summary is None
