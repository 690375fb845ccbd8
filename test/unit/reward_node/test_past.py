"""What a session finds when it starts: every episode, finished or not; every id is taken."""

from factories import make_bag, make_rollout

from reward_node.past import past_episodes
from reward_node.session import Session, SessionConfig
from so101.data.bags.bag_writer import PART
from so101.data.bags.custom_data import facts_to_text
from so101.episode import EpisodeFacts, Outcome


def add(store, number, name, outcome=Outcome.SUCCESS, **facts):
    """Put an episode into a store; return its facts."""
    told = EpisodeFacts(id=name, **{"phase": "demonstrations", "source": "teleop", **facts})
    rollout = make_rollout(cameras=(), episode=name, outcome=outcome, steps=4)._replace(facts=told)
    make_bag(
        directory=store / f"20260101-12000{number}-{name}",
        rollout=rollout,
        cameras=(),
        outcome=outcome,
        custom_data=facts_to_text(told),
    )
    return told


def test_no_store_holds_nothing(tmp_path):
    assert past_episodes(None) == ()
    assert past_episodes(tmp_path / "nowhere") == ()
    assert past_episodes(tmp_path) == ()


def test_episodes_come_oldest_first_with_their_outcome(tmp_path):
    second = add(tmp_path, 2, "demo-0001", Outcome.FAILURE)
    first = add(tmp_path, 1, "demo-0000")
    third = add(tmp_path, 3, "eval-aa-0000", Outcome.TRUNCATED, phase="evaluation")
    past = past_episodes(tmp_path)
    assert [episode.facts for episode in past] == [first, second, third]
    assert [episode.outcome for episode in past] == [
        Outcome.SUCCESS,
        Outcome.FAILURE,
        Outcome.TRUNCATED,
    ]
    assert all(episode.duration_s > 0 for episode in past)


def test_an_unfinished_episode_keeps_its_id_and_counts_as_a_try(tmp_path):
    add(tmp_path, 1, "demo-0000")
    for name in ("demo-0001", "eval-aa-0000", "group-00-rollout-00", "manual-7"):
        (tmp_path / f"20260101-120009-{name}{PART}").mkdir()
    unfinished = past_episodes(tmp_path)[1:]
    assert [(e.facts.id, e.facts.phase) for e in unfinished] == [
        ("demo-0001", "demonstrations"),
        ("eval-aa-0000", "evaluation"),
        ("group-00-rollout-00", "rollouts"),
        ("manual-7", "manual"),
    ]
    assert {e.outcome for e in unfinished} == {Outcome.INCOMPLETE}
    session = Session(SessionConfig(demonstrations=3), past_episodes(tmp_path))
    assert session.done_and_goal == (1, 3)
    assert session.next().facts.id == "demo-0002"


def test_what_somebody_recorded_by_hand_counts_as_a_demonstration(tmp_path):
    add(tmp_path, 1, "mine", phase="manual")
    add(tmp_path, 2, "missed", Outcome.FAILURE, phase="manual")
    session = Session(SessionConfig(demonstrations=3), past_episodes(tmp_path))
    assert session.done_and_goal == (1, 3)


def test_a_broken_bag_stops_nobody(tmp_path):
    add(tmp_path, 1, "demo-0000")
    broken = tmp_path / "20260101-120005-demo-0001"
    broken.mkdir()
    (broken / "metadata.yaml").write_text("rosbag2_bagfile_information: [")
    session = Session(SessionConfig(demonstrations=3), past_episodes(tmp_path))
    assert session.done_and_goal == (1, 3)
