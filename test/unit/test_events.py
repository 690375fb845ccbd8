"""Typed events and their wire form are inverse pairs; damaged ones are named."""

from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
from contracts.event_contract import (
    check_any_text,
    check_foreign,
    check_inverse_pair,
    check_missing_keys,
    counts,
    foreign,
    numbers,
    stamps,
    texts,
    to_message,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.episode import ControlSource, EpisodeFacts, EpisodeState, Outcome
from so101.errors import BagError
from so101.events import (
    ControlEvent,
    EpisodeEvent,
    Event,
    LabelEvent,
    RewardEvent,
    decode,
    decode_tuple,
    encode,
    from_message,
)

outcomes = st.sampled_from(["", *(outcome.value for outcome in Outcome)])
facts = st.builds(
    EpisodeFacts,
    **dict.fromkeys(("id", "phase", "task", "source", "checkpoint", "start_pose"), texts),
    operator=texts,
    group=counts,
    rollout=counts,
    seed=counts,
    speed=numbers,
)
EVENTS = {
    EpisodeEvent: st.builds(
        EpisodeEvent,
        stamp_ns=stamps,
        state=st.sampled_from(EpisodeState),
        facts=facts,
        reason=texts,
    ),
    ControlEvent: st.builds(
        ControlEvent,
        stamp_ns=stamps,
        source=st.sampled_from(ControlSource),
        device=texts,
        reason=texts,
        decision_ticks=counts,
    ),
    RewardEvent: st.builds(
        RewardEvent,
        stamp_ns=stamps,
        reward=numbers,
        success_probability=numbers,
        terminated=st.booleans(),
    ),
    LabelEvent: st.builds(
        LabelEvent,
        stamp_ns=stamps,
        episode=texts,
        rater=texts,
        outcome=outcomes,
        advantage=st.none() | numbers,
        reasons=st.lists(texts, max_size=3).map(tuple),
        note=texts,
        undoes=texts,
    ),
}
kinds = pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)


@kinds
@settings(max_examples=30)
@given(data=st.data())
def test_an_event_and_its_wire_form_are_an_inverse_pair(kind, data):
    check_inverse_pair(data.draw(EVENTS[kind]))


@kinds
@settings(max_examples=30)
@given(data=st.data())
def test_a_missing_key_is_named(kind, data):
    check_missing_keys(data.draw(EVENTS[kind]))


@kinds
@settings(max_examples=30)
@given(data=st.data(), text=st.text(max_size=30))
def test_any_text_for_any_key_is_read_or_named(kind, data, text):
    check_any_text(data.draw(EVENTS[kind]), data, text)


@kinds
@settings(max_examples=20)
@given(event=foreign)
def test_a_foreign_event_is_refused(kind, event):
    check_foreign(kind, event)


WRONG = {
    int: ["", "x", "1.0", "true", "null", '"1"', "[1]", "9" * 5000, "NaN"],
    float: ["", "x", "true", "null", '"1"', "[1]", "9" * 400, "9" * 5000],
    bool: ["", "True", "1", "0", "null", '"true"'],
    list: ["", "1", "null", "{}", "[" * 100_000],
}


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in WRONG.items() for text in texts]
)
def test_text_of_another_kind_is_named_with_its_key(kind, text):
    event = Event(stamp_ns=0, name="e", values={"k": text})
    with pytest.raises(BagError, match=rf"event 'e': k=.* is not {kind.__name__}") as caught:
        decode(event, "k", kind)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("kind", "text"), [(str, "[1]"), (str, "[null]"), (float, '["a"]'), (float, "[true]")]
)
def test_an_entry_of_another_kind_is_named_with_its_key(kind, text):
    event = Event(stamp_ns=0, name="e", values={"k": text})
    with pytest.raises(BagError, match=f"k=.* is not a list of {kind.__name__}"):
        decode_tuple(event, "k", kind)


@given(st.one_of(counts, st.booleans(), texts, st.floats(allow_nan=False)))
def test_encode_and_decode_are_inverse(value):
    event = Event(stamp_ns=0, name="e", values={"k": encode(value)})
    decoded = decode(event, "k", type(value))
    assert type(decoded) is type(value)
    assert decoded == value


@given(st.integers(-(2**53), 2**53))
def test_whole_numbers_are_read_as_floats_where_floats_are_expected(value):
    event = Event(stamp_ns=0, name="e", values={"k": str(value)})
    assert isinstance(decode(event, "k", float), float)
    assert decode(event, "k", float) == value


@pytest.mark.parametrize("state", ["", "Running", "paused"])
def test_an_unknown_state_is_refused_with_the_known_ones(state):
    event = EpisodeEvent(
        stamp_ns=0, state=EpisodeState.IDLE, facts=EpisodeFacts(id="e")
    ).to_event()
    with pytest.raises(BagError, match="is not one of idle, resetting, running"):
        EpisodeEvent.from_event(replace(event, message=state))


def test_an_unknown_outcome_of_a_label_is_refused_with_the_known_ones():
    event = LabelEvent(stamp_ns=0, episode="e", rater="me").to_event()
    damaged = replace(event, values={**event.values, "outcome": "sucess"})
    with pytest.raises(BagError, match="'sucess' is not one of success, failure"):
        LabelEvent.from_event(damaged)


def test_a_label_given_by_hand_may_leave_out_what_it_does_not_say():
    values = {"rater": "me", "outcome": "success", "reasons": "[]"}
    label = LabelEvent.from_event(Event(stamp_ns=1, name="e", values=values))
    assert label == LabelEvent(stamp_ns=1, episode="e", rater="me", outcome="success")


def test_a_message_needs_exactly_one_status():
    message = to_message(Event(stamp_ns=0, name="e"))
    for status in ([], message.status * 2):
        message.status = status
        with pytest.raises(BagError, match=f"expected one status, got {len(status)}"):
            from_message(message)


def test_a_key_given_twice_is_named():
    message = to_message(Event(stamp_ns=0, name="e", values={"a": "1", "b": "2"}))
    message.status[0].values.append(SimpleNamespace(key="b", value="3"))
    with pytest.raises(BagError, match="event 'e': duplicate key 'b'"):
        from_message(message)


@given(st.integers(0, 255))
def test_the_level_is_read_from_bytes_and_from_numbers(level):
    message = to_message(Event(stamp_ns=0, name="e", level=level))
    assert from_message(message).level == level
    message.status[0].level = level
    assert from_message(message).level == level


def test_every_fact_is_on_the_wire():
    event = EpisodeEvent(
        stamp_ns=0, state=EpisodeState.IDLE, facts=EpisodeFacts(id="e")
    ).to_event()
    assert {*event.values} == {f.name for f in fields(EpisodeFacts)} - {"id"} | {"reason"}


def test_an_episode_of_an_earlier_version_has_no_instruction_but_its_task():
    facts = EpisodeFacts(id="demo-0000", task="pick", instruction="pick up the cube")
    event = EpisodeEvent(stamp_ns=1, state=EpisodeState.RUNNING, facts=facts).to_event()
    values = {key: value for key, value in event.values.items() if key != "instruction"}
    told = EpisodeEvent.from_event(replace(event, values=values)).facts
    assert (told.instruction, told.words) == ("", "pick")
