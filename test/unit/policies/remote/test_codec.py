"""Laws of the codec: what is packed comes back; any bytes give a value or one error, cheaply."""

import struct
import tracemalloc

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from so101.errors import ProtocolError
from so101.policies.remote.wire.codec import DTYPES, MAX_DIMS, pack, unpack
from so101.policies.remote.wire.msgpack_reader import MESSAGE_BYTES, Limits, read

ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda name: npst.arrays(name, npst.array_shapes(min_dims=0, max_dims=MAX_DIMS, min_side=0))
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=40),
    st.binary(max_size=300),
)
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=30,
)


def same(one, other):
    if isinstance(one, np.ndarray):
        alike = isinstance(other, np.ndarray) and one.dtype == other.dtype
        return alike and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float):
        return struct.pack(">d", one) == struct.pack(">d", other)
    if isinstance(one, bytes):
        return isinstance(other, memoryview) and bytes(other) == one
    return type(one) is type(other) and one == other


@given(VALUES.filter(lambda value: not (isinstance(value, dict) and "__array__" in value)))
def test_what_is_packed_comes_back_to_the_bit(value):
    assert same(value, unpack(pack(value), Limits(depth=64)))


def test_tuples_come_back_as_lists():
    assert unpack(pack({"size": (3, 4)})) == {"size": [3, 4]}


@given(ARRAYS)
def test_an_array_in_any_memory_order_comes_back(array):
    turned = array.T
    assert np.array_equal(unpack(pack(turned)), turned, equal_nan=array.dtype.kind == "f")


def test_an_array_from_a_big_endian_machine_comes_back():
    assert np.array_equal(unpack(pack(np.arange(5, dtype=">i4"))), np.arange(5))


def test_an_image_is_not_copied_on_the_way_in():
    image = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    message = pack({"image": image, "jpeg": b"\xff\xd8" * 50})
    found = unpack(message)
    whole = np.frombuffer(message, dtype=np.uint8)
    assert np.shares_memory(found["image"], whole)
    assert np.shares_memory(np.frombuffer(found["jpeg"], dtype=np.uint8), whole)


def test_what_arrives_is_read_only_and_aligned():
    for name in DTYPES:
        found = unpack(pack({"x": np.ones(3, dtype=name)}))["x"]
        assert found.flags.aligned and not found.flags.writeable


def outcome(message):
    """Return the error's text, or nothing for a value; any other exception fails the test."""
    try:
        unpack(message)
    except ProtocolError as error:
        return str(error)
    return ""


@given(st.binary(max_size=400))
def test_any_bytes_are_a_value_or_one_error(data):
    assert len(outcome(data)) < 300


@given(VALUES, st.data())
def test_a_damaged_message_is_a_value_or_one_error(value, data):
    message = bytearray(pack(value))
    for _ in range(3):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))
    assert len(outcome(bytes(message[:cut]))) < 300


def plain(value):
    """Return what `read` gives, with views as bytes."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner),
        max_leaves=30,
    )
)
def test_the_reader_agrees_with_the_library(value):
    message = msgpack.packb(value)
    assert same_plain(plain(read(message, Limits(depth=64))), msgpack.unpackb(message))


def same_plain(one, other):
    return repr(one) == repr(other)


def array_message(dtype="float64", shape=(2,), data=b"\0" * 16, **more):
    return msgpack.packb({"__array__": dtype, "shape": shape, "data": data, **more})


def lists(depth):
    return b"\x91" * depth + b"\xc0"


BAD = {
    "empty": b"",
    "cut": pack({"x": 1})[:-1],
    "trailing": pack(1) + b"\0",
    "never used byte": b"\xc1",
    "extension type": msgpack.packb(msgpack.ExtType(1, b"x")),
    "timestamp": msgpack.packb(msgpack.Timestamp(1, 2)),
    "a key that is a number": b"\x81\x01\x02",
    "a key that is bytes": b"\x81\xc4\x01a\x02",
    "duplicate key": b"\x82\xa1a\x01\xa1a\x02",
    "text that is not UTF-8": b"\xa1\xff",
    "deep nesting": lists(9),
    "very deep nesting": lists(1_000_000),
    "more values than counted": b"\xdd\xff\xff\xff\xff",
    "a map of billions": b"\xdf\xff\xff\xff\xff",
    "bytes of gigabytes": b"\xc6\xff\xff\xff\xff",
    "text of gigabytes": b"\xdb\xff\xff\xff\xff",
    "long text": msgpack.packb("x" * 20_000),
    "array of objects": array_message("object"),
    "array of pickles": array_message("O", data=b"cos\nsystem\n(S'true'\ntR."),
    "array of texts": array_message("<U2"),
    "array of records": array_message([["a", "<f8"]]),
    "array of complex": array_message("complex128", (1,)),
    "unsigned beyond the list": array_message("uint64"),
    "negative shape": array_message(shape=(-2,)),
    "two negatives": array_message(shape=(-1, -2)),
    "huge shape": array_message(shape=(2**62, 2)),
    "shape that overflows to the length": array_message(shape=(2**63 + 2,)),
    "huge empty shape": array_message(shape=(0, 2**60), data=b""),
    "overflowing empty shape": array_message(shape=(0, 8_000_000, 8_000_000, 8_000_000), data=b""),
    "shape of another size": array_message(shape=(3,)),
    "shape of floats": array_message(shape=(2.0,)),
    "shape of bools": array_message("uint8", shape=(True,), data=b"x"),
    "too many dimensions": array_message(shape=(1,) * 5 + (2,)),
    "a text as data": array_message(data="0123456789abcdef"),
    "a list as data": array_message(data=[0] * 16),
    "a number as shape": array_message(shape=2),
    "a key too many": array_message(more=1),
    "a key too few": msgpack.packb({"__array__": "uint8", "data": b""}),
    "a bool that is seven": array_message("bool", (1,), b"\x07"),
}


@pytest.mark.parametrize("message", BAD.values(), ids=BAD)
def test_a_bad_message_is_one_short_error(message):
    with pytest.raises(ProtocolError) as caught:
        unpack(message)
    assert len(str(caught.value)) < 200


BOMBS = {
    "lists of nothing": b"\xdd\x00\x7f\xff\xfb" + b"\x90" * (MESSAGE_BYTES - 5),
    "lists in lists": b"\x9f" * MESSAGE_BYTES,
    "deep": b"\x91" * MESSAGE_BYTES,
    "wide texts": b"\x9f" + (b"\xda\x3f\xff" + "é".encode() + b"a" * 0x3FFD) * 15,
}


@pytest.mark.parametrize("message", BOMBS.values(), ids=BOMBS)
def test_eight_megabytes_cannot_ask_for_much_memory(message):
    tracemalloc.start()
    refused = outcome(message)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert bool(refused) == (len(message) == MESSAGE_BYTES)
    assert peak < 2_000_000


def test_a_message_over_the_limit_is_refused_unread():
    with pytest.raises(ProtocolError, match="allowed 8388608"):
        unpack(b"\xc0" * (MESSAGE_BYTES + 1))


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        np.float64(1.0),
        np.array([None]),
        np.array(["a"]),
        np.zeros(2, dtype=[("a", "f8")]),
        np.zeros(2, dtype=np.complex128),
        np.zeros((1,) * (MAX_DIMS + 1)),
        2**64,
    ],
)
def test_what_may_not_travel_is_not_sent(value):
    with pytest.raises(ProtocolError, match="cannot be sent"):
        pack({"x": value})
