"""openpi's dictionaries: read as its client writes them, answered as it reads them."""

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from so101.action import ActionChunk
from so101.errors import ConfigError, ObservationError, ProtocolError
from so101.images import encode_jpeg
from so101.policies.remote.server.openpi_dialect import (
    OpenpiKeys,
    describe,
    read_observation,
    write_answer,
)
from so101.policies.remote.wire.codec import DTYPES
from so101.policies.remote.wire.messages import Answer, Code, Failure, Hello
from so101.policies.remote.wire.openpi_msgpack import pack_openpi, unpack_openpi
from so101.robot import to_lerobot
from so101.spec import PolicySpec

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
STATE = np.array([0.1, -0.2, 0.3, -0.4, 0.5, 0.6])
KEYS = OpenpiKeys()


def to_wire(value):
    """Mark arrays as openpi's client does."""
    if isinstance(value, np.ndarray):
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": value.dtype.str,
            b"shape": value.shape,
        }
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    return value


def from_wire(values):
    """Build arrays as openpi's client does."""
    if b"__ndarray__" in values:
        dtype = np.dtype(values[b"dtype"])
        return np.ndarray(buffer=values[b"data"], dtype=dtype, shape=values[b"shape"])
    return values


def client_pack(values):
    return msgpack.packb(values, default=to_wire)


def client_unpack(data):
    return msgpack.unpackb(data, object_hook=from_wire)


def asked(**changes):
    values = {
        "observation/state": STATE,
        "observation/image": IMAGE,
        "observation/wrist_image": IMAGE[::-1],
        "prompt": "pick up the cube",
        **{key.replace("__", "/"): value for key, value in changes.items()},
    }
    return {key: value for key, value in values.items() if value is not ...}


def read(values, keys=KEYS):
    return read_observation(client_pack(values), 5, keys)


def test_an_observation_of_openpis_client_is_read():
    request = read(asked())
    seen = request.observation
    assert request.id == 5
    assert np.array_equal(seen.positions, STATE) and np.array_equal(seen.command, STATE)
    assert not seen.velocities.any() and not seen.effort.any()
    assert np.array_equal(seen.images["front"], IMAGE)
    assert np.array_equal(seen.images["wrist"], IMAGE[::-1])
    assert seen.task == "pick up the cube"


def test_float32_and_a_missing_prompt_and_camera_are_read():
    seen = read(
        asked(observation__state=STATE.astype(np.float32), prompt=..., observation__image=...)
    ).observation
    np.testing.assert_allclose(seen.positions, STATE, atol=1e-7)
    assert seen.positions.dtype == np.float64
    assert seen.task == "" and set(seen.images) == {"wrist"}


def test_nested_dictionaries_are_read_as_one():
    keys = OpenpiKeys(state="state", images={"images/cam_high": "front"})
    seen = read({"state": STATE, "images": {"cam_high": IMAGE}}, keys).observation
    assert np.array_equal(seen.images["front"], IMAGE)


def test_a_jpeg_stays_a_jpeg():
    jpeg = encode_jpeg(IMAGE)
    request = read(asked(observation__image=jpeg))
    assert bytes(request.compressed["front"]) == jpeg
    assert set(request.observation.images) == {"wrist"}


def test_degrees_are_converted_both_ways():
    keys = OpenpiKeys(units="degrees")
    seen = read(asked(observation__state=to_lerobot(STATE)), keys).observation
    np.testing.assert_allclose(seen.positions, STATE, atol=1e-12)
    found = client_unpack(write_answer(answer(np.tile(STATE, (16, 1))), keys))["actions"]
    np.testing.assert_allclose(found, np.tile(to_lerobot(STATE), (16, 1)), rtol=1e-6)


def answer(positions):
    return Answer(
        id=5,
        checkpoint="ab" * 32,
        chunk=ActionChunk(stamp_ns=0, positions=positions),
        native_action=positions,
        timings_ms={"queue": 0.5, "decode": 0.1, "infer": 3.0, "total": 4.0, "batch": 1.0},
    )


def test_an_answer_is_what_openpis_client_reads():
    positions = np.random.default_rng(1).normal(size=(16, 6))
    found = client_unpack(write_answer(answer(positions), KEYS))
    assert found["actions"].dtype == np.float32
    assert np.array_equal(found["actions"], positions.astype(np.float32))
    assert found["server_timing"] == {"infer_ms": 4.0}
    assert found["policy_timing"] == {"infer_ms": 3.0}


def test_a_failure_is_a_short_text():
    failure = Failure(id=5, code=Code.OBSERVATION, message="observation: no image")
    assert write_answer(failure, KEYS) == "observation: no image"
    assert write_answer(Failure(id=5, code=Code.STOPPING), KEYS) == "stopping"


def test_the_first_message_describes_the_server():
    found = client_unpack(describe(Hello(spec=PolicySpec(), checkpoint="cd" * 32), KEYS))
    assert found["action_horizon"] == 16 and found["units"] == "rad"
    assert found["joints"] == list(PolicySpec().joints)
    assert found["image_keys"] == dict(KEYS.images)


@given(
    st.dictionaries(
        st.text(max_size=10),
        st.sampled_from(DTYPES).flatmap(
            lambda name: npst.arrays(name, npst.array_shapes(min_dims=0, max_dims=4, min_side=0))
        )
        | st.text(max_size=10)
        | st.floats(allow_nan=False),
        max_size=4,
    )
)
def test_both_sides_read_what_the_other_writes(values):
    for found in (unpack_openpi(client_pack(values)), client_unpack(pack_openpi(values))):
        assert found.keys() == values.keys()
        for key, value in values.items():
            if isinstance(value, np.ndarray):
                assert found[key].dtype == value.dtype and found[key].shape == value.shape
                assert found[key].tobytes() == value.tobytes()
            else:
                assert found[key] == value


UNUSABLE = {
    "no state": asked(observation__state=...),
    "a state of seven": asked(observation__state=np.zeros(7)),
    "a state of whole numbers": asked(observation__state=np.zeros(6, dtype=np.int64)),
    "a state that is not finite": asked(observation__state=np.full(6, np.nan)),
    "a state that is a list": asked(observation__state=[0.0] * 6),
    "an unknown key": asked(observation__gripper_position=np.zeros(1)),
    "an image of floats": asked(observation__image=IMAGE / 255.0),
    "channels first": asked(observation__image=IMAGE.transpose(2, 0, 1)),
    "an image that is a text": asked(observation__image="front.jpg"),
    "a prompt that is a number": asked(prompt=3),
}


@pytest.mark.parametrize("values", UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_used_is_said_in_words(values):
    with pytest.raises(ObservationError, match="observation"):
        read(values)


def marked(**changes):
    parts = {b"__ndarray__": True, b"data": b"\0" * 16, b"dtype": "<f8", b"shape": (2,)}
    return msgpack.packb({"x": {**parts, **{key.encode(): v for key, v in changes.items()}}})


DAMAGED = {
    "no dictionary": msgpack.packb([1]),
    "objects": marked(dtype="|O"),
    "pickles": marked(dtype="|O", data=b"cos\nsystem\n(S'true'\ntR."),
    "records": marked(dtype=[["a", "<f8"]]),
    "texts": marked(dtype="<U2"),
    "big endian": marked(dtype=">f8"),
    "negative": marked(shape=(-2,)),
    "huge": marked(shape=(2**60,)),
    "no shape": marked(shape=None),
    "data that are a text": marked(data="0123456789abcdef"),
    "a number of objects": msgpack.packb(
        {"x": {b"__npgeneric__": True, b"data": 1, b"dtype": "|O"}}
    ),
    "a number that is a list": msgpack.packb(
        {"x": {b"__npgeneric__": True, b"data": [1], b"dtype": "<f8"}}
    ),
    "a key of bytes": msgpack.packb({b"x": 1}),
    "the same key twice": msgpack.packb({"a/b": 1, "a": {"b": 2}}),
    "deep": msgpack.packb({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}}),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_what_is_damaged_is_one_short_error(data):
    with pytest.raises(ProtocolError) as caught:
        read_observation(data, 5, KEYS)
    assert len(str(caught.value)) < 200


def test_an_unknown_camera_is_refused():
    with pytest.raises(ConfigError, match="camera 'side'"):
        OpenpiKeys(images={"observation/image": "side"})
