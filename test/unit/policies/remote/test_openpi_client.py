"""OpenPiPolicy against a server written from openpi's protocol alone."""

import contextlib
import json
import time
from dataclasses import replace

import numpy as np
import pytest
from contracts.policy_factories import make_observation
from factories import make_calibration
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from openpi_peers import OpenPiServer

from so101.action import ChunkPrefix
from so101.errors import ConfigError, ObservationError, ServerLostError, ServerRefusedError
from so101.policies.remote.openpi_client import OpenPiPolicy
from so101.policies.remote.openpi_format import (
    JointValues,
    OpenPiFormat,
    fit_image,
    read_format,
)
from so101.policies.remote.websocket import Address
from so101.robot import JOINTS, so101

RADIANS = OpenPiFormat(units="rad", horizon=10)
IMAGES = {"observation/image": "front", "observation/wrist_image": "wrist"}
RANGES = {
    joint: {**one, "range_max": 3000 + 10 * number}
    for number, (joint, one) in enumerate(make_calibration().items())
}


@pytest.fixture
def server():
    with OpenPiServer() as made:
        yield made


@pytest.fixture
def observation():
    return make_observation(cameras=("wrist", "front"))


@pytest.fixture
def calibration(tmp_path):
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(RANGES), encoding="utf-8")
    return str(path)


@contextlib.contextmanager
def connected(server, wanted=RADIANS, **options):
    with contextlib.closing(OpenPiPolicy.connect(server.url, wanted, **options)) as policy:
        yield policy


def eventually(condition, within_s=5.0):
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.005)


def answers(policy, observation):
    with contextlib.suppress(ServerLostError):
        return policy.infer(observation)
    return None


class TestAsking:
    def test_state_images_and_prompt_arrive_under_their_keys(self, server, observation):
        with connected(server, replace(RADIANS, images=IMAGES)) as policy:
            policy.infer(observation)
        (seen,) = server.seen
        assert set(seen) == {"observation/state", "prompt", *IMAGES}
        np.testing.assert_allclose(seen["observation/state"], observation.positions, rtol=1e-6)
        assert seen["observation/state"].dtype == np.float32
        assert np.array_equal(seen["observation/image"], observation.images["front"])
        assert np.array_equal(seen["observation/wrist_image"], observation.images["wrist"])
        assert seen["prompt"] == "pick up the cube"

    def test_the_chunk_is_the_servers_with_our_stamp_and_rate(self, server, observation):
        with connected(server, replace(RADIANS, rate_hz=15)) as policy:
            inference = policy.infer(observation)
        want = observation.positions + 0.5 * np.arange(10)[:, None]
        np.testing.assert_allclose(inference.chunk.positions, want, rtol=1e-6, atol=1e-6)
        assert inference.chunk.stamp_ns == observation.stamp_ns
        assert inference.chunk.rate_hz == 15
        assert not inference.chunk.positions.flags.writeable

    def test_chunks_of_fifty_in_any_float_pass(self, server, observation):
        server.horizon = 50
        for dtype in (np.float16, np.float32, np.float64):
            server.dtype = dtype
            with connected(server, replace(RADIANS, horizon=50)) as policy:
                assert policy.infer(observation).chunk.positions.shape == (50, 6)

    def test_what_the_server_says_of_itself_is_kept(self, server):
        server.metadata = {"reset_pose": np.zeros(6), "n": np.float32(2.5), "nested": {"a": [1]}}
        with connected(server) as policy:
            assert policy.metadata["n"] == 2.5
            assert policy.metadata["nested"] == {"a": [1]}
            assert np.array_equal(policy.metadata["reset_pose"], np.zeros(6))

    def test_a_token_goes_out_as_openpis_key(self, server, observation):
        server.token = "secret"
        with pytest.raises(ServerRefusedError, match="refuses: 403 Forbidden: who are you"):
            OpenPiPolicy.connect(server.url, RADIANS)
        with connected(server, token="secret") as policy:
            policy.infer(observation)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("noise", np.zeros(3, np.float32)),
            ("indicator", 1),
            ("guidance", 2.0),
            ("prefix", ChunkPrefix(positions=np.zeros((2, 6)), decided=1)),
        ],
    )
    def test_what_openpi_has_no_word_for_is_refused(self, server, observation, name, value):
        with (
            connected(server) as policy,
            pytest.raises(ConfigError, match=f"openpi's protocol has no {name}"),
        ):
            policy.infer(observation, **{name: value})

    def test_a_camera_that_is_missing_cannot_be_said(self, server, observation):
        seen = replace(observation, missing=frozenset({"wrist"}))
        with (
            connected(server, replace(RADIANS, images=IMAGES)) as policy,
            pytest.raises(ObservationError, match="no image of camera 'wrist'"),
        ):
            policy.infer(seen)
        assert server.seen == []

    def test_a_nan_does_not_travel(self, server, observation):
        with connected(server) as policy, pytest.raises(ObservationError, match="positions"):
            policy.infer(replace(observation, positions=np.full(6, np.nan)))
        assert server.seen == []


class TestUnits:
    def test_degrees_and_gripper_percent_by_hand(self):
        values = JointValues(replace(RADIANS, units="degrees"))
        low, high = so101().lower[-1], so101().upper[-1]
        pose = np.array([np.pi / 2, -np.pi / 4, 0.0, 0.1, -0.2, low + 0.25 * (high - low)])
        want = [90.0, -45.0, 0.0, 5.729578, -11.459156, 25.0]
        np.testing.assert_allclose(values.state(pose), want, atol=1e-5)
        np.testing.assert_allclose(values.chunk(np.array([want]), pose)[0], pose, atol=1e-6)

    def test_parts_of_a_calibrated_range_by_hand(self, calibration):
        wanted = replace(RADIANS, units="m100_100", calibration=calibration)
        values = JointValues(wanted)
        half = 1000 * 2 * np.pi / 4095  # 1000 to 3000 ticks: half of it in rad
        pose = np.array([half, 0.0, 0.0, 0.0, 0.0, so101().upper[-1]])
        np.testing.assert_allclose(values.state(pose)[[0, 1, 5]], [100.0, 0.0, 100.0])
        back = values.chunk(np.array([[100.0, 0.0, 0.0, 0.0, 0.0, 100.0]]), pose)
        np.testing.assert_allclose(back[0], pose, atol=1e-9)

    @pytest.mark.parametrize("units", ["rad", "degrees"])
    @pytest.mark.parametrize("order", [JOINTS, tuple(reversed(JOINTS))])
    @given(poses=arrays(np.float64, (4, 6), elements=st.floats(-3.0, 3.0)))
    def test_out_and_back_is_the_same(self, units, order, poses):
        values = JointValues(replace(RADIANS, units=units, joints=order))
        back = values.chunk(values.state(poses), np.zeros(6))
        np.testing.assert_allclose(back, poses, atol=1e-9)

    def test_deltas_move_the_body_and_set_the_gripper(self):
        values = JointValues(replace(RADIANS, actions="delta"))
        pose = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
        chunk = values.chunk(np.full((2, 6), 0.05), pose)
        np.testing.assert_allclose(chunk, [[0.15, 0.25, 0.35, 0.45, 0.55, 0.05]] * 2)

    def test_the_servers_order_of_joints_is_kept_both_ways(self, server, observation):
        order = tuple(reversed(JOINTS))
        server.step = 0.0
        with connected(server, replace(RADIANS, joints=order)) as policy:
            chunk = policy.infer(observation).chunk.positions
        seen = server.seen[0]["observation/state"]
        np.testing.assert_allclose(seen, observation.positions[::-1], rtol=1e-6)
        np.testing.assert_allclose(chunk[0], observation.positions, rtol=1e-6)


class TestImages:
    def test_proportions_are_kept_and_the_rest_is_black(self):
        image = np.full((120, 160, 3), 200, np.uint8)
        fitted = fit_image(image, (224, 224))
        assert fitted.shape == (224, 224, 3)
        assert (fitted[28:196] == 200).all()
        assert not fitted[:28].any() and not fitted[196:].any()

    def test_an_image_that_fits_is_not_touched(self):
        image = np.zeros((24, 24, 3), np.uint8)
        assert fit_image(image, (24, 24)) is image
        assert fit_image(image, (0, 0)) is image

    def test_images_are_fitted_before_they_travel(self, server, observation):
        wanted = replace(RADIANS, images=IMAGES, image_size=(32, 48))
        with connected(server, wanted) as policy:
            policy.infer(observation)
        assert server.seen[0]["observation/image"].shape == (32, 48, 3)


class TestFormatFile:
    def test_a_file_says_it_all(self, tmp_path, calibration):
        path = tmp_path / "openpi.yaml"
        path.write_text(
            "units: m100_100\nhorizon: 50\nexecute_steps: 25\ncalibration: arm.json\n"
            "images: {observation/image: front}\nimage_size: [224, 224]\n",
            encoding="utf-8",
        )
        wanted = read_format(path)
        assert wanted.calibration == calibration
        spec = wanted.spec
        assert spec.cameras == ("front",)
        assert spec.camera_names == {"front": "observation/image"}
        assert (spec.action_space.horizon, spec.action_space.execute_steps) == (50, 25)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("horizon: 50\n", "units"),
            ("units: rad\n", "horizon"),
            ("units: turns\nhorizon: 5\n", "turns"),
            ("units: m100_100\nhorizon: 10\n", "calibration"),
            ("units: rad\nhorizon: 10\njoints: [a, b]\n", "joints: a, b"),
            ("units: rad\nhorizon: 10\nimages: {a: front, b: front}\n", "named twice"),
            ("units: rad\nhorizon: 10\nstatekey: s\n", "did you mean 'state_key'"),
        ],
    )
    def test_what_does_not_fit_is_refused_by_name(self, tmp_path, text, words):
        path = tmp_path / "openpi.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=rf"openpi\.yaml.*{words}"):
            read_format(path)


class TestServerThatSaysNo:
    def test_a_failure_is_one_line_of_its_traceback(self, server, observation):
        server.failure = "Traceback (most recent call last):\n  File \"x.py\"\nKeyError: 'state'"
        with connected(server) as policy:
            with pytest.raises(ServerRefusedError) as caught:
                policy.infer(observation)
            assert str(caught.value) == f"{server.url}: the server failed: KeyError: 'state'"
            server.failure = ""
            eventually(lambda: answers(policy, observation))

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            ({"action": np.zeros((10, 6))}, "no array of numbers under 'actions'"),
            ({"actions": [[0.0] * 6] * 10}, "no array of numbers"),
            ({"actions": np.zeros((10, 6), np.int64)}, "no array of numbers"),
            ({"actions": np.zeros((9, 6))}, r"shape \(9, 6\), expected \(10, 6\)"),
            ({"actions": np.zeros((10, 32))}, r"shape \(10, 32\), expected \(10, 6\)"),
            ({"actions": np.full((10, 6), np.nan)}, "not finite"),
            ([1, 2], "no array of numbers|dictionary"),
        ],
    )
    def test_an_answer_without_a_usable_chunk_is_refused(self, server, observation, answer, words):
        server.answer = lambda observation: answer
        with connected(server) as policy, pytest.raises(ServerRefusedError, match=words):
            policy.infer(observation)

    def test_an_array_of_objects_is_refused_and_never_built(self, server, observation):
        forged = {
            b"__ndarray__": True,
            b"data": bytes(8 * 60),
            b"dtype": "|O",
            b"shape": [10, 6],
        }
        server.answer = lambda observation: {"actions": forged}
        with connected(server) as policy, pytest.raises(ServerRefusedError, match=r"\|O"):
            policy.infer(observation)

    def test_a_server_of_another_kind_is_named(self, server):
        server.metadata = 7
        with pytest.raises(ServerRefusedError, match="does not speak openpi"):
            OpenPiPolicy.connect(server.url, RADIANS)


class TestLoss:
    def test_a_late_answer_is_never_taken_for_the_next_ones(self, server, observation):
        with connected(server, deadline_s=0.15) as policy:
            policy.infer(observation)
            server.delay_s = 0.3
            with pytest.raises(ServerLostError, match=r"no answer within 0\.1\d* s"):
                policy.infer(observation)
            server.delay_s = 0.0
            moved = replace(observation, positions=observation.positions + 1.0)
            eventually(lambda: answers(policy, moved))
            chunk = policy.infer(moved).chunk.positions
            np.testing.assert_allclose(chunk[0], moved.positions, rtol=1e-6)
            assert len(server.connections) == 2

    def test_another_server_is_told_and_waits_for_the_next_episode(self, server, observation):
        changes = []
        with connected(server, on_change=lambda old, new: changes.append((old, new))) as policy:
            policy.infer(observation)
            server.close()
            with OpenPiServer(server.port, metadata={"policy": "other"}) as other:
                eventually(lambda: changes and policy.is_connected)
                with pytest.raises(ServerRefusedError, match="came back as another server"):
                    policy.infer(observation)
                assert other.seen == []
                policy.reset()
                policy.infer(observation)
        assert changes == [({"policy": "test"}, {"policy": "other"})]

    def test_nobody_there_is_one_clear_line(self):
        with pytest.raises(ServerLostError, match=r"ws://127\.0\.0\.1:9: cannot be reached"):
            OpenPiPolicy(Address(url="ws://127.0.0.1:9"), RADIANS)
