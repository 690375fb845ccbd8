"""What every typed event must do: laws that property tests call, and values to draw from."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st

from so101.clock import NS_PER_S
from so101.errors import BagError
from so101.events import Event, from_message

stamps = st.integers(0, 2**31 * NS_PER_S)
texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False)  # infinities and the smallest numbers included
counts = st.integers(-(2**63), 2**63)
foreign = st.builds(Event, stamp_ns=stamps, name=texts, message=texts)


def to_message(event):
    """Build the attributes of a DiagnosticArray, as rclpy and the bag reader both have them."""
    stamp = SimpleNamespace(sec=event.stamp_ns // NS_PER_S, nanosec=event.stamp_ns % NS_PER_S)
    values = [SimpleNamespace(key=key, value=value) for key, value in event.values.items()]
    status = SimpleNamespace(
        level=bytes([event.level]),
        name=event.name,
        message=event.message,
        hardware_id=event.hardware_id,
        values=values,
    )
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp), status=[status])


def check_inverse_pair(value):
    """The typed form and its wire form give each other back."""
    kind, event = type(value), value.to_event()
    assert kind.from_event(event) == value
    assert kind.from_event(from_message(to_message(event))) == value
    assert all(isinstance(text, str) for text in event.values.values())


def check_missing_keys(value):
    """A key that is not there is named."""
    event = value.to_event()
    for key in event.values:
        if key in ("advantage", "instruction", "note", "taken_over", "undoes") or key.startswith(
            "age_ms/"
        ):
            continue  # optional
        damaged = replace(event, values={k: v for k, v in event.values.items() if k != key})
        with pytest.raises(BagError, match=f"missing key '{key}'"):
            type(value).from_event(damaged)


def check_any_text(value, data, text):
    """Any text for any key is read or named."""
    event = value.to_event()
    key = data.draw(st.sampled_from(sorted(event.values)))
    problem = ""
    try:
        type(value).from_event(replace(event, values={**event.values, key: text}))
    except BagError as error:
        problem = str(error)
    assert not problem or f"{key}={text!r}" in problem


def check_foreign(kind, event):
    """An event of something else is refused."""
    with pytest.raises(BagError):
        kind.from_event(event)
