"""Every message comes back as it was sent; what breaks the protocol is one short error."""

from dataclasses import fields, replace

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.action import ActionChunk, ActionSpace, ChunkPrefix
from so101.errors import ObservationError, ProtocolError
from so101.images import encode_jpeg
from so101.observation import Observation
from so101.policies.remote.wire import codec
from so101.policies.remote.wire.messages import (
    Answer,
    Code,
    Done,
    Failure,
    Health,
    HealthRequest,
    Hello,
    InferRequest,
    Reset,
)
from so101.policies.remote.wire.protocol import (
    pack_message,
    request_id,
    unpack_answer,
    unpack_request,
)
from so101.spec import PolicySpec

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
SPEC = PolicySpec(
    cameras=("front", "wrist"),
    image_size=(96, 128),
    action_space=ActionSpace(kind="joint_delta", horizon=50, execute_steps=25),
    camera_names={"front": "observation.images.top"},
    task="put the cube into the bin",
)


def observation(**changes):
    positions = np.linspace(-1.0, 1.0, 6)
    seen = Observation(
        stamp_ns=123_456_789_012_345,
        positions=positions,
        velocities=positions / 3,
        effort=np.full(6, np.nan),
        command=positions + 0.01,
        images={"front": IMAGE},
        missing=frozenset({"wrist"}),
        task="lift the cube, gently",
        objects=np.arange(14, dtype=np.float64).reshape(2, 7),
    )
    return replace(seen, **changes)


def request(**changes):
    return replace(InferRequest(id=7, observation=observation(), timeout_ms=250.0), **changes)


def answer(**changes):
    positions = np.random.default_rng(1).normal(size=(16, 6))
    chunk = ActionChunk(stamp_ns=99, positions=positions, rate_hz=30, speed=1.25)
    whole = Answer(
        id=7,
        checkpoint="ab" * 32,
        chunk=chunk,
        native_action=positions * 2,
        aux={"noise": np.ones((16, 6), dtype=np.float32)},
        timings_ms={"queue": 0.1, "infer": 9.5},
    )
    return replace(whole, **changes)


def same(one, other):
    """Compare values of dataclasses, mappings and arrays, NaN being equal to NaN."""
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        )
    if hasattr(one, "__dataclass_fields__"):
        return type(one) is type(other) and all(
            same(getattr(one, item.name), getattr(other, item.name)) for item in fields(one)
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


REQUESTS = {
    "infer": request(),
    "with everything": request(
        noise=np.ones((16, 6), dtype=np.float32),
        indicator=1,
        guidance=1.5,
        prefix=ChunkPrefix(positions=np.ones((5, 6)), decided=3),
    ),
    "without images": request(
        observation=observation(images={}, missing=frozenset(), objects=None)
    ),
    "reset": Reset(id=3),
    "health": HealthRequest(id=4),
}
ANSWERS = {
    "hello": Hello(spec=SPEC, checkpoint="cd" * 32, noise_shape=(50, 32)),
    "hello without noise": Hello(spec=PolicySpec(), checkpoint=""),
    "answer": answer(),
    "done": Done(id=3),
    "health": Health(id=4, checkpoint="ef", uptime_s=3.5, connections=2, waiting=1),
    "failure": Failure(id=-1, code=Code.MALFORMED, message="message: ends within a value"),
}


@pytest.mark.parametrize("message", REQUESTS.values(), ids=REQUESTS)
def test_a_request_comes_back(message):
    assert same(unpack_request(pack_message(message)), message)


@pytest.mark.parametrize("message", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_comes_back(message):
    assert same(unpack_answer(pack_message(message)), message)


def test_a_jpeg_travels_untouched_and_instead_of_its_pixels():
    jpeg = encode_jpeg(IMAGE)
    message = pack_message(request(compressed={"front": jpeg, "side": jpeg}))
    assert message.count(jpeg) == 2
    found = unpack_request(message)
    assert found.observation.images == {}
    assert {key: bytes(data) for key, data in found.compressed.items()} == {
        "front": jpeg,
        "side": jpeg,
    }


@pytest.mark.parametrize("name", ["positions", "command"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_joints_that_are_not_finite_are_refused(name, value):
    bad = np.array([0.0, value, 0.0, 0.0, 0.0, 0.0])
    with pytest.raises(ObservationError, match=f"{name} are not finite"):
        unpack_request(pack_message(request(observation=observation(**{name: bad}))))


def test_noise_and_prefix_that_are_not_finite_are_refused():
    noise = np.full((16, 6), np.inf, dtype=np.float32)
    with pytest.raises(ObservationError, match="noise"):
        unpack_request(pack_message(request(noise=noise)))
    prefix = ChunkPrefix(positions=np.full((2, 6), np.nan), decided=1)
    with pytest.raises(ObservationError, match="prefix"):
        unpack_request(pack_message(request(prefix=prefix)))


def test_a_chunk_that_is_not_finite_is_refused_by_the_client_too():
    bad = replace(answer().chunk, positions=np.full((16, 6), np.nan))
    with pytest.raises(ProtocolError, match="not finite"):
        unpack_answer(pack_message(answer(chunk=bad)))


def values(message=None):
    return codec.unpack(pack_message(message or request()))


def changed(path, value):
    """Return a request's message with one entry replaced; ``...`` takes it away."""
    whole = values()
    *outer, last = path.split(".")
    part = whole
    for key in outer:
        part = part[key]
    part[last] = value
    if value is ...:
        del part[last]
    return codec.pack(as_bytes(whole))


def as_bytes(value):
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, dict):
        return {key: as_bytes(item) for key, item in value.items()}
    return value


BAD = {
    "no mapping": codec.pack([1]),
    "no type": changed("type", ...),
    "another type": changed("type", "launch"),
    "a type of the server": pack_message(Done(id=1)),
    "no id": changed("id", ...),
    "an id that is a bool": changed("id", True),
    "an id that is a float": changed("id", 1.0),
    "an unknown key": changed("rosebud", 1),
    "an unknown key inside": changed("observation.rosebud", 1),
    "no observation": changed("observation", None),
    "a time-out that is not finite": changed("timeout_ms", float("nan")),
    "a time-out that is a text": changed("timeout_ms", "soon"),
    "joints of another type": changed("observation.positions", np.zeros(6, dtype=np.float32)),
    "joints as a list": changed("observation.positions", [0.0] * 6),
    "joints as a table": changed("observation.positions", np.zeros((6, 1))),
    "noise of another type": changed("noise", np.zeros((16, 6))),
    "an image of floats": changed("observation.images", {"front": np.zeros((4, 4, 3))}),
    "an image without colours": changed(
        "observation.images", {"front": np.zeros((4, 4), dtype=np.uint8)}
    ),
    "an image of nothing": changed(
        "observation.images", {"front": np.zeros((0, 4, 3), dtype=np.uint8)}
    ),
    "an image that is a text": changed("observation.images", {"front": "front.jpg"}),
    "nine cameras": changed("observation.images", {str(n): b"x" for n in range(9)}),
    "missing that is a text": changed("observation.missing", "front"),
    "a prefix that decides too much": changed(
        "prefix", {"positions": np.zeros((2, 6)), "decided": 3}
    ),
    "a prefix with more": changed(
        "prefix", {"positions": np.zeros((2, 6)), "decided": 1, "more": 1}
    ),
    "a guidance that is not finite": changed("guidance", float("inf")),
    "an indicator that is a float": changed("indicator", 0.5),
}


@pytest.mark.parametrize("message", BAD.values(), ids=BAD)
def test_what_breaks_the_protocol_is_one_short_error(message):
    with pytest.raises(ProtocolError) as caught:
        unpack_request(message)
    assert len(str(caught.value)) < 300


@given(st.sampled_from(sorted(REQUESTS)), st.data())
def test_a_damaged_request_is_a_request_or_one_of_two_errors(name, data):
    message = bytearray(pack_message(REQUESTS[name]))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = unpack_request(bytes(message))
    except (ProtocolError, ObservationError):
        return
    assert isinstance(found, InferRequest | Reset | HealthRequest)


def test_the_id_of_a_broken_request_is_found_where_it_can_be():
    assert request_id(changed("timeout_ms", "soon")) == 7
    assert request_id(changed("id", "seven")) == -1
    assert request_id(b"\xc1") == -1
    assert request_id(msgpack.packb([7])) == -1


def test_a_hello_with_an_impossible_spec_is_refused():
    whole = codec.unpack(pack_message(ANSWERS["hello"]))
    whole["spec"]["action_space"]["horizon"] = 0
    with pytest.raises(ProtocolError, match="horizon"):
        unpack_answer(codec.pack(whole))


def test_an_answer_with_too_many_arrays_is_refused():
    aux = {str(n): np.zeros(1, dtype=np.float32) for n in range(17)}
    with pytest.raises(ProtocolError, match="17 auxiliary"):
        unpack_answer(pack_message(answer(aux=aux)))


def test_an_unknown_code_is_refused():
    whole = codec.unpack(pack_message(ANSWERS["failure"]))
    with pytest.raises(ProtocolError, match="unknown code"):
        unpack_answer(codec.pack({**whole, "code": "bored"}))
