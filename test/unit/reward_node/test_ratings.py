"""A word on the label topic ends up beside the bag, and counts from there."""

import math
from dataclasses import replace

from factories import make_bag

from reward_node.ratings import Ratings
from so101.episode import Outcome
from so101.events import LabelEvent


def label(episode, **said):
    return LabelEvent(stamp_ns=1, episode=episode, rater="me", **said)


def test_what_is_said_is_written_and_read_back(tmp_path):
    make_bag(directory=tmp_path / "20260101-120000-e", episode="e", outcome=Outcome.SUCCESS)
    ratings = Ratings(tmp_path)
    assert [one.advantage for one in ratings.read()] == [None]
    ratings.take(label("e", advantage=0.5))
    assert ratings.write(unsaved="") == []
    (one,) = ratings.read()
    assert (one.advantage, one.outcome) == (0.5, Outcome.SUCCESS)
    ratings.take(label("e", outcome="discarded"))
    assert ratings.write(unsaved="") == []
    assert [one.outcome for one in Ratings(tmp_path).read()] == [Outcome.DISCARDED]


def test_a_word_on_the_running_episode_waits_for_its_bag(tmp_path):
    ratings = Ratings(tmp_path)
    ratings.take(label("e", advantage=1.0))
    assert ratings.write(unsaved="e") == []
    make_bag(directory=tmp_path / "20260101-120000-e", episode="e", outcome=Outcome.SUCCESS)
    assert ratings.write(unsaved="") == []
    assert [one.advantage for one in ratings.read()] == [1.0]


def test_what_cannot_be_written_is_named_and_forgotten(tmp_path):
    ratings = Ratings(tmp_path)
    for said in (label("nobody", advantage=1.0), label("e", advantage=math.nan)):
        ratings.take(said)
    first, second = ratings.write(unsaved="")
    assert "'nobody'" in first and str(tmp_path) in first
    assert "'e'" in second and "not finite" in second
    assert ratings.write(unsaved="") == []
    nowhere = Ratings(None)
    nowhere.take(label("e", advantage=1.0))
    (problem,) = nowhere.write(unsaved="")
    assert "no store" in problem


def test_a_rating_taken_back_on_the_topic_is_awaited_again(tmp_path):
    make_bag(directory=tmp_path / "20260101-120000-e", episode="e", outcome=Outcome.SUCCESS)
    ratings = Ratings(tmp_path)
    ratings.take(label("e", advantage=0.5))
    ratings.take(label("e", undoes="me"))
    ratings.take(label("e", undoes="me"))  # arrives again
    assert ratings.write(unsaved="") == []
    ratings.take(replace(label("e", undoes="me"), stamp_ns=2))
    (problem,) = ratings.write(unsaved="")
    assert "me has no label that can be taken back" in problem
    assert [one.advantage for one in ratings.read()] == [None]
