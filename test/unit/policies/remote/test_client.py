"""RemotePolicy: what it asks, what it accepts, and what it says when a server is not as it was."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contracts.policy_contract import PolicyContract
from contracts.policy_factories import make_observation
from proxy import Proxy
from scripted_server import SPEC, ScriptedServer, ThreadedServer

from so101.action import ActionSpace, ChunkPrefix
from so101.errors import ConfigError, ObservationError, ServerLostError, ServerRefusedError
from so101.images import encode_jpeg
from so101.policies.remote.client.client import RemoteConfig, RemotePolicy
from so101.policies.remote.client.link import LinkConfig
from so101.policies.remote.wire.messages import Code, Reset
from so101.spec import PolicySpec

QUICK = LinkConfig(
    connect=2.0, ping_interval=0.1, ping_timeout=0.3, first_delay=0.02, longest_delay=0.1
)
OTHER = "b" * 64


@pytest.fixture
def server():
    with ScriptedServer() as made:
        yield made


@pytest.fixture
def changes():
    return []


@pytest.fixture
def policy(server, changes):
    made = connect(server, on_change=lambda before, now: changes.append((before, now)))
    yield made
    made.close()


@pytest.fixture
def observation():
    return make_observation()


def connect(server, deadline=1.0, cameras=None, **options):
    config = RemoteConfig(deadline=deadline, cameras=cameras or {}, link=QUICK)
    rng = np.random.default_rng(0)
    return RemotePolicy.connect(server.url, config=config, rng=rng, **options)


def eventually(condition, within_s=5.0):
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.005)


def answers(policy, observation):
    with contextlib.suppress(ServerLostError):
        return policy.infer(observation)
    return None


class TestContract(PolicyContract):
    """A remote policy is a policy like any other."""


class TestAsking:
    def test_everything_arrives_as_it_was_asked(self, server, observation):
        server.become(noise_shape=(4, 6))
        noise = np.random.default_rng(0).standard_normal((4, 6), dtype=np.float32)
        prefix = ChunkPrefix(positions=np.full((3, 6), 0.25), decided=2)
        with contextlib.closing(connect(server)) as policy:
            inference = policy.infer(
                observation, noise=noise, indicator=1, guidance=1.5, prefix=prefix
            )
        reset, asked = server.requests
        assert isinstance(reset, Reset) and reset.id < asked.id
        assert np.array_equal(asked.noise, noise)
        assert (asked.indicator, asked.guidance, asked.timeout_ms) == (1, 1.5, 1000.0)
        assert np.array_equal(asked.prefix.positions, prefix.positions)
        assert asked.prefix.decided == 2
        assert asked.observation.task == "pick up the cube"
        for name in ("positions", "velocities", "effort", "command", "objects"):
            assert np.array_equal(getattr(asked.observation, name), getattr(observation, name))
        assert np.array_equal(inference.aux["noise"], noise)
        assert np.array_equal(inference.chunk.positions[:2], prefix.positions[:2])
        assert policy.timings_ms["total"] == 1.0
        assert policy.timings_ms["round_trip"] > 0.0

    def test_only_the_first_request_of_an_episode_is_announced(self, server, policy, observation):
        for _ in range(2):
            policy.infer(observation)
            policy.infer(observation)
            policy.reset()
        kinds = [type(request).__name__ for request in server.requests]
        assert kinds == ["Reset", "InferRequest", "InferRequest"] * 2
        ids = [request.id for request in server.requests]
        assert ids == sorted(set(ids))

    def test_chunks_of_fifty_pass(self, server, observation):
        server.become(spec=replace(SPEC, action_space=ActionSpace(horizon=50)))
        with contextlib.closing(connect(server)) as policy:
            assert policy.infer(observation).chunk.positions.shape == (50, 6)

    def test_a_nan_does_not_even_travel(self, server, policy, observation):
        bad = replace(observation, command=np.full(6, np.nan))
        with pytest.raises(ObservationError, match="command"):
            policy.infer(bad)
        assert server.requests == []

    def test_what_the_server_would_not_read_does_not_travel(self, server, observation):
        server.become(message_bytes=500)
        with (
            contextlib.closing(connect(server)) as policy,
            pytest.raises(ObservationError, match="the server reads 500"),
        ):
            policy.infer(observation)
        assert server.requests == []


class TestCameras:
    SLOTS = PolicySpec(
        cameras=("base", "left_wrist", "right_wrist"),
        image_size=(24, 24),
        action_space=SPEC.action_space,
    )

    @pytest.fixture
    def server(self):
        with ScriptedServer(spec=self.SLOTS) as made:
            yield made

    @pytest.fixture
    def observation(self):
        return make_observation(cameras=("wrist", "front", "side"))

    def test_a_policy_with_three_slots_is_served_by_two_cameras(self, server, observation):
        names = {"front": "base", "wrist": "left_wrist"}
        with contextlib.closing(connect(server, cameras=names)) as policy:
            assert policy.spec.cameras == ("front", "wrist")
            assert policy.spec.camera_names == names
            policy.infer(observation)
        asked = server.requests[-1].observation
        assert set(asked.images) == {"base", "left_wrist"}
        assert np.array_equal(asked.images["base"], observation.images["front"])
        assert np.array_equal(asked.images["left_wrist"], observation.images["wrist"])
        assert asked.missing == {"right_wrist"}

    def test_a_jpeg_arrives_as_the_camera_made_it_and_is_never_decoded(self, server, observation):
        class Undecoded(dict):
            def __getitem__(self, key):
                raise AssertionError(f"{key} was decoded")

            get = __getitem__

        jpegs = {name: encode_jpeg(image) for name, image in observation.images.items()}
        seen = replace(observation, images=Undecoded(observation.images), jpegs=jpegs)
        names = {"front": "base", "wrist": "left_wrist", "side": "right_wrist"}
        with contextlib.closing(connect(server, cameras=names)) as policy:
            policy.infer(seen)
        asked = server.requests[-1]
        assert asked.observation.images == {}
        sent = {slot: bytes(data) for slot, data in asked.compressed.items()}
        assert sent == {slot: jpegs[camera] for camera, slot in names.items()}

    def test_pixels_are_shrunk_to_what_the_policy_looks_at_before_they_travel(self, server):
        large = make_observation(cameras=("base", "left_wrist", "right_wrist"))
        images = {
            name: np.kron(image, np.ones((2, 2, 1), np.uint8))
            for name, image in large.images.items()
        }
        with contextlib.closing(connect(server)) as policy:
            policy.infer(replace(large, images=images))
        sent = server.requests[-1].observation.images
        for name, image in large.images.items():
            assert np.array_equal(sent[name], image)

    def test_a_camera_that_is_missing_now_is_said_to_be(self, server, observation):
        images = {"front": observation.images["front"]}
        seen = replace(observation, images=images, missing=frozenset({"wrist", "side"}))
        names = {"front": "base", "wrist": "left_wrist"}
        with contextlib.closing(connect(server, cameras=names)) as policy:
            policy.infer(seen)
        assert server.requests[-1].observation.missing == {"left_wrist", "right_wrist"}

    def test_a_camera_without_an_image_or_an_excuse_is_refused(self, server, observation):
        names = {"front": "base", "wrist": "left_wrist"}
        seen = replace(observation, images={"front": observation.images["front"]})
        with (
            contextlib.closing(connect(server, cameras=names)) as policy,
            pytest.raises(ObservationError, match="no image of camera 'wrist'"),
        ):
            policy.infer(seen)

    @pytest.mark.parametrize(
        ("names", "words"),
        [
            ({"front": "top"}, "no camera top; its policy has base, left_wrist, right_wrist"),
            ({"front": "base", "wrist": "base"}, "two cameras are to fill one"),
        ],
    )
    def test_names_that_do_not_fit_leave_no_connection_behind(self, server, names, words):
        with pytest.raises(ConfigError, match=words):
            connect(server, cameras=names)
        eventually(lambda: server.connections and server.connections[0].close_code is not None)


class TestServerThatSaysNo:
    @pytest.mark.parametrize(
        ("code", "error"),
        [
            (Code.OBSERVATION, ObservationError),
            (Code.POLICY, ServerRefusedError),
            (Code.REPLAYED, ServerRefusedError),
            (Code.EXPIRED, ServerLostError),
            (Code.SUPERSEDED, ServerLostError),
            (Code.STOPPING, ServerLostError),
        ],
    )
    def test_a_failure_names_the_server_and_the_reason(
        self, server, policy, observation, code, error
    ):
        server.failure = code
        with pytest.raises(error, match=rf"ws://127\.0\.0\.1:\d+: {code.value}: as the script"):
            policy.infer(observation)
        server.failure = None
        assert policy.infer(observation).chunk.positions.shape == (16, 6)
        assert len(server.connections) == 1

    def test_without_its_token_nobody_gets_in(self, server, observation):
        server.token = "open sesame, please"
        with pytest.raises(ServerRefusedError) as caught:
            connect(server)
        assert str(caught.value).endswith("refuses: 401 Unauthorized: a token is needed")
        with contextlib.closing(connect(server, token=server.token)) as policy:
            policy.infer(observation)

    def test_the_token_is_in_no_text_of_the_client(self, server):
        server.token = "open sesame, please"
        with contextlib.closing(connect(server, token=server.token)) as policy:
            assert server.token not in repr(vars(policy)) + repr(policy._address)

    @pytest.mark.parametrize("nonsense", [b"", b"\xc1", b"\x80", b"not msgpack at all", "text"])
    def test_nonsense_ends_the_connection_and_the_next_one_works(
        self, server, policy, observation, nonsense
    ):
        server.garble = lambda data: nonsense
        with pytest.raises(ServerRefusedError, match=r"ws://.*does not speak this protocol"):
            policy.infer(observation)
        server.garble = lambda data: data
        eventually(lambda: answers(policy, observation))
        assert len(server.connections) == 2

    @pytest.mark.parametrize("rows", [15, 17])
    def test_a_chunk_of_another_length_is_refused(self, server, policy, observation, rows):
        right = server.answer

        def wrong(request):
            answer = right(request)
            if isinstance(request, Reset):
                return answer
            chunk = replace(answer.chunk, positions=np.zeros((rows, 6)))
            return replace(answer, chunk=chunk)

        server.answer = wrong
        with pytest.raises(ServerRefusedError, match=rf"answers with \({rows}, 6\) points"):
            policy.infer(observation)

    def test_a_chunk_of_another_observation_is_refused(self, server, policy, observation):
        right = server.answer

        def stale(request):
            answer = right(request)
            if isinstance(request, Reset):
                return answer
            return replace(answer, chunk=replace(answer.chunk, stamp_ns=1))

        server.answer = stale
        with pytest.raises(ServerRefusedError, match="points of 1, expected"):
            policy.infer(observation)

    def test_a_websocket_of_another_kind_is_named(self):
        class Other(ThreadedServer):
            def talk(self, connection):
                connection.send(b"hello?")
                connection.recv()

        with Other() as other, pytest.raises(ServerRefusedError, match=r"not one of so101\.v1"):
            connect(other)

    def test_a_server_without_a_greeting_is_named(self):
        class Mute(ThreadedServer):
            subprotocols = ("so101.v1",)

            def talk(self, connection):
                connection.recv()

        config = RemoteConfig(link=replace(QUICK, connect=1.0))
        with Mute() as mute, pytest.raises(ServerLostError, match="connects, but says nothing"):
            RemotePolicy.connect(mute.url, config=config)


class TestChanges:
    def test_other_weights_are_told_and_wait_for_the_next_episode(
        self, server, policy, observation, changes
    ):
        policy.infer(observation)
        assert policy.checkpoint == "a" * 64
        server.learn(OTHER)
        for _ in range(2):
            with pytest.raises(ServerRefusedError, match=r"bbbbbbbbbbbb.*aaaaaaaaaaaa"):
                policy.infer(observation)
        assert [(old.checkpoint, new.checkpoint) for old, new in changes] == [("a" * 64, OTHER)]
        assert policy.checkpoint == "a" * 64
        policy.reset()
        policy.infer(observation)
        assert policy.checkpoint == OTHER

    def test_weights_that_changed_between_episodes_are_told_and_used(
        self, server, policy, observation, changes
    ):
        server.learn(OTHER)
        policy.infer(observation)
        assert policy.checkpoint == OTHER
        assert len(changes) == 1

    def test_a_restart_with_other_weights_is_noticed_before_anything_is_asked(
        self, server, policy, observation, changes
    ):
        policy.infer(observation)
        asked = len(server.requests)
        server.close()
        with ScriptedServer(server.port, checkpoint=OTHER) as again:
            eventually(lambda: changes)
            eventually(lambda: policy.is_connected)
            with pytest.raises(ServerRefusedError, match="other weights"):
                policy.infer(observation)
            assert again.requests == []
            policy.reset()
            policy.infer(observation)
        assert len(server.requests) == asked
        assert len(changes) == 1

    def test_a_restart_with_the_same_weights_goes_on(self, server, policy, observation, changes):
        first = policy.infer(observation).chunk.positions
        server.close()
        with ScriptedServer(server.port):
            eventually(lambda: answers(policy, observation))
            assert np.array_equal(policy.infer(observation).chunk.positions, first)
        assert changes == []

    def test_another_spec_is_refused_until_it_is_adopted(
        self, server, policy, observation, changes
    ):
        policy.infer(observation)
        server.close()
        longer = replace(SPEC, action_space=ActionSpace(horizon=50))
        with ScriptedServer(server.port, spec=longer):
            eventually(lambda: changes and policy.is_connected)
            policy.reset()
            with pytest.raises(ServerRefusedError, match="another policy"):
                policy.infer(observation)
            assert policy.spec == SPEC
            assert policy.adopt() == longer
            assert policy.infer(observation).chunk.positions.shape == (50, 6)


class TestLoss:
    def test_a_slow_server_costs_a_deadline_and_its_late_answer_is_dropped(
        self, server, observation
    ):
        with contextlib.closing(connect(server, deadline=0.15)) as policy:
            policy.infer(observation)
            server.delay_s = 0.3
            began = time.monotonic()
            with pytest.raises(ServerLostError, match=r"no answer within 0\.1\d* s"):
                policy.infer(observation)
            assert time.monotonic() - began < 0.3
            server.delay_s = 0.0
            later = replace(observation, stamp_ns=2_000_000_000)
            eventually(lambda: answers(policy, later))
            assert policy.infer(later).chunk.stamp_ns == later.stamp_ns
        assert len(server.connections) == 1

    def test_an_answer_that_is_cut_off_is_asked_for_again(self, server, observation):
        with Proxy(server.port) as proxy:
            through = ScriptedAddress(proxy.port)
            with contextlib.closing(connect(through)) as policy:
                policy.infer(observation)
                proxy.cut()
                eventually(lambda: not policy.is_connected)
                proxy.answer_limit = 1200  # the greeting passes, a chunk does not
                eventually(lambda: policy.is_connected)
                with pytest.raises(ServerLostError, match=r"ws://127\.0\.0\.1"):
                    policy.infer(observation)
                proxy.answer_limit = None
                eventually(lambda: answers(policy, observation))

    def test_a_killed_server_process_is_lost_at_once_and_found_again(self, observation):
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(ServerProcess(0))
            policy = stack.enter_context(contextlib.closing(connect(first)))
            policy.infer(observation)
            first.kill()
            began = time.monotonic()
            with pytest.raises(ServerLostError, match=first.url):
                policy.infer(observation)
            assert time.monotonic() - began < 0.9
            stack.enter_context(ServerProcess(first.port))
            eventually(lambda: answers(policy, observation), 10.0)

    def test_a_hung_server_process_costs_deadlines_until_it_goes_on(self, observation):
        with (
            ServerProcess(0) as server,
            contextlib.closing(connect(server, deadline=0.2)) as policy,
        ):
            policy.infer(observation)
            server.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            while time.monotonic() - began < 1.0:
                asked = time.monotonic()
                with pytest.raises(ServerLostError, match=server.url):
                    policy.infer(observation)
                assert time.monotonic() - asked < 0.5
            server.send_signal(signal.SIGCONT)
            eventually(lambda: answers(policy, observation), 10.0)


class ScriptedAddress:
    """A port that leads to a scripted server."""

    def __init__(self, port):
        self.url = f"ws://127.0.0.1:{port}"


class ServerProcess(subprocess.Popen):
    """A scripted server in a process of its own."""

    PROGRAM = (
        "import sys; from scripted_server import ScriptedServer\n"
        "with ScriptedServer(int(sys.argv[1])) as server:\n"
        "    print(server.port, flush=True); sys.stdin.read()"
    )

    def __init__(self, port):
        root = Path(__file__).parents[4]
        path = os.pathsep.join([str(root), str(root / "test")])
        super().__init__(
            [sys.executable, "-c", self.PROGRAM, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        self.port = int(self.stdout.readline())
        self.url = f"ws://127.0.0.1:{self.port}"

    def __exit__(self, *error):
        self.kill()
        super().__exit__(*error)
