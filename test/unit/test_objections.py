"""Whoever has something against it is heard as long as it says so, and nobody else."""

from hypothesis import given
from hypothesis import strategies as st

from so101.events import Event
from so101.objections import NO_ARMING, NO_EPISODE, Objections

LASTING_S = 5.0


def report(name, words=None, key=NO_EPISODE):
    return Event(stamp_ns=0, name=name, values={} if words is None else {key: words})


def test_the_last_word_of_each_counts():
    objections = Objections(NO_EPISODE, LASTING_S)
    objections.take(report("servos", "hot"), 0.0)
    objections.take(report("camera", "swapped"), 0.0)
    objections.take(report("camera", "frozen"), 1.0)
    assert objections.words(1.0) == "camera: frozen; servos: hot"
    objections.take(report("servos", ""), 2.0)
    assert objections.words(2.0) == "camera: frozen"


def test_other_keys_and_other_reports_are_none_of_its_business():
    objections = Objections(NO_EPISODE, LASTING_S, is_silence_one=True)
    objections.take(report("camera", "swapped", NO_ARMING), 0.0)
    objections.take(report("policy_node"), 0.0)
    assert objections.words(1e9) == ""


def test_a_word_that_is_not_repeated_is_over():
    objections = Objections(NO_ARMING, LASTING_S)
    objections.take(report("camera", "swapped", NO_ARMING), 0.0)
    assert objections.words(LASTING_S) == "camera: swapped"
    assert objections.words(LASTING_S + 0.1) == ""


def test_where_silence_counts_whoever_has_spoken_has_to_go_on():
    objections = Objections(NO_EPISODE, LASTING_S, is_silence_one=True)
    objections.take(report("camera", ""), 0.0)
    assert objections.words(LASTING_S) == ""
    assert objections.words(LASTING_S + 0.1).startswith("camera: silent")
    objections.take(report("camera", ""), 9.0)
    assert objections.words(9.0) == ""


words = st.sampled_from([None, "", "hot"])


@given(st.lists(st.tuples(st.sampled_from("ab"), words, st.floats(0.0, 3.0)), max_size=30))
def test_it_is_silent_just_where_nobody_has_something_against_it(reports):
    objections, known, now_s = Objections(NO_EPISODE, LASTING_S), {}, 0.0
    for name, said, later_s in reports:
        now_s += later_s
        objections.take(report(name, said), now_s)
        if said is not None:
            known[name] = (said, now_s)
    against = [said for said, since_s in known.values() if said and now_s - since_s <= LASTING_S]
    assert bool(objections.words(now_s)) == bool(against)
