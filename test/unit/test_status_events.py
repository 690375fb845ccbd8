"""What processes say about themselves and its wire form are inverse pairs."""

import math

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
)
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.status_events import (
    CheckpointEvent,
    GroupRequest,
    LearnerStatus,
    PolicyInfo,
    RecorderStatus,
    SessionStatus,
)

EVENTS = {
    PolicyInfo: st.builds(
        PolicyInfo,
        stamp_ns=stamps,
        checkpoint=texts,
        inference_ms=numbers,
        speed=numbers,
        ages_ms=st.dictionaries(texts, numbers, max_size=3),
        native_action=st.lists(numbers, max_size=6).map(tuple),
        indicator=texts,
        guidance=numbers,
        waiting_for=texts,
        highest_speed=numbers,
        waited_ms=numbers,
        schedule=texts,
        latency_ms=numbers,
        overtaken=counts,
        refused=counts,
    ),
    CheckpointEvent: st.builds(
        CheckpointEvent, stamp_ns=stamps, path=texts, sha256=texts, role=texts, step=counts
    ),
    RecorderStatus: st.builds(
        RecorderStatus,
        stamp_ns=stamps,
        episode=texts,
        state=texts,
        path=texts,
        outcome=texts,
        messages=counts,
        missing=counts,
        reason=texts,
    ),
    LearnerStatus: st.builds(
        LearnerStatus,
        stamp_ns=stamps,
        phase=texts,
        step=counts,
        steps=counts,
        loss=numbers,
        checkpoint=texts,
        episodes=counts,
        reason=texts,
        group=st.integers(-1, 99),
        promoted=texts,
        is_accepted=st.booleans(),
    ),
    SessionStatus: st.builds(SessionStatus, stamp_ns=stamps, phase=texts, waiting=texts),
    GroupRequest: st.builds(
        GroupRequest,
        stamp_ns=stamps,
        group=counts,
        checkpoint=texts,
        highest_speed=numbers,
        rule=texts,
        seed=counts,
        task=texts,
        start=texts,
        time_limit_s=numbers,
        rollouts=counts,
        is_last=st.booleans(),
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


def test_not_a_number_survives():
    """A diverged loss is reported as it is; readers who compute with it check it."""
    status = LearnerStatus(stamp_ns=0, phase="failed", loss=math.nan)
    assert math.isnan(LearnerStatus.from_event(status.to_event()).loss)
    info = PolicyInfo(stamp_ns=0, checkpoint="", native_action=(math.nan, 1.0))
    assert math.isnan(PolicyInfo.from_event(info.to_event()).native_action[0])
