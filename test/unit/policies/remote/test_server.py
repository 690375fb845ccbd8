"""The server over real sockets on loopback: answers, deadlines, batches, swaps, openpi."""

import re
import ssl
import struct
import subprocess
import threading
import time
from dataclasses import replace

import msgpack
import numpy as np
import pytest
from contracts.policy_factories import make_observation, make_policy, make_spec
from serving import HEADERS, SHA, TOKEN, RawPeer, Robot, SlowPolicy, frame, head, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Opcode
from websockets.sync.client import connect

from so101.action import ActionSpace
from so101.errors import CheckpointError, ConfigError
from so101.images import decode_image, encode_jpeg
from so101.policies.hold_policy import HoldPolicy
from so101.policies.remote.server.access import tls_context
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.hosting import HostedServer
from so101.policies.remote.server.inference import Served
from so101.policies.remote.server.server import PolicyServer
from so101.policies.remote.wire.messages import (
    Answer,
    Code,
    Done,
    Failure,
    Health,
    HealthRequest,
    Reset,
)
from so101.policies.remote.wire.msgpack_reader import MESSAGE_BYTES
from so101.policies.remote.wire.protocol import pack_message

CAMERAS = ("wrist", "front")


@pytest.fixture(scope="module")
def flow():
    return make_policy(cameras=CAMERAS)


def get(server, path, extra=""):
    """Return status and body of a page."""
    with RawPeer(server) as peer:
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *([extra] if extra else [])]
        peer.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert peer.closes_within(5.0)
        answer_head, _, body = bytes(peer.received).partition(b"\r\n\r\n")
    return int(answer_head.split()[1]), body.decode()


def test_a_chunk_from_the_server_is_the_chunk_of_the_policy(flow):
    seen = make_observation(cameras=CAMERAS)
    noise = np.random.default_rng(0).standard_normal(flow.noise_shape, dtype=np.float32)
    local = flow.infer(seen, noise=noise)
    with serving(flow) as server, Robot(server) as robot:
        found = robot.ask(seen, noise=noise)
    assert robot.hello.spec == flow.spec
    assert robot.hello.noise_shape == flow.noise_shape
    assert robot.hello.checkpoint == found.checkpoint == SHA
    assert np.array_equal(found.chunk.positions, local.chunk.positions)
    assert found.chunk.stamp_ns == seen.stamp_ns
    assert np.array_equal(found.native_action, local.native_action)
    assert np.array_equal(found.aux["noise"], noise)
    assert found.timings_ms["total"] >= found.timings_ms["infer"] > 0


def test_jpegs_are_decoded_as_the_robot_would(flow):
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    jpeg = encode_jpeg(picture)
    pixels = {camera: decode_image(jpeg, flow.spec.image_size) for camera in CAMERAS}
    noise = np.zeros(flow.noise_shape, dtype=np.float32)
    seen = make_observation(cameras=CAMERAS)
    with serving(flow) as server, Robot(server) as robot:
        sent = robot.ask(
            replace(seen, images={}), compressed=dict.fromkeys(CAMERAS, jpeg), noise=noise
        )
        local = robot.ask(replace(seen, images=pixels), noise=noise)
    assert np.array_equal(sent.chunk.positions, local.chunk.positions)


def test_a_camera_that_is_missing_is_said_to_be(flow):
    seen = make_observation(cameras=CAMERAS)
    with serving(flow) as server, Robot(server) as robot:
        found = robot.ask(replace(seen, images={}))
        assert isinstance(found, Failure) and found.code is Code.OBSERVATION
        masked = replace(seen, images={}, missing=frozenset(CAMERAS))
        assert isinstance(robot.ask(masked), Answer)  # the connection goes on


def test_what_is_not_finite_is_refused_and_the_connection_goes_on():
    bad = replace(make_observation(), positions=np.full(6, np.nan))
    with serving() as server, Robot(server) as robot:
        found = robot.ask(bad)
        assert (found.id, found.code) == (1, Code.OBSERVATION)
        assert isinstance(robot.ask(), Answer)


def test_a_policy_that_plans_nonsense_is_not_obeyed():
    class Wild(HoldPolicy):
        def infer(self, observation, **asked):
            planned = super().infer(observation, **asked)
            chunk = replace(planned.chunk, positions=np.full((16, 6), np.inf))
            return replace(planned, chunk=chunk)

    with serving(Wild()) as server, Robot(server) as robot:
        assert robot.ask().code is Code.POLICY


def test_the_newest_request_wins():
    policy = SlowPolicy()
    with serving(policy) as server, Robot(server) as robot:
        robot.send()
        assert policy.is_inside.wait(5.0)
        for stamp in (2, 3, 4):
            robot.send(observation=make_observation(stamp_ns=stamp))
        superseded = [robot.read(), robot.read()]
        policy.gate.set()
        answered = [robot.read(), robot.read()]
    assert [(one.id, one.code) for one in superseded] == [
        (2, Code.SUPERSEDED),
        (3, Code.SUPERSEDED),
    ]
    assert [one.id for one in answered] == [1, 4]
    assert [seen.stamp_ns for seen in policy.inferred] == [1_000_000_000, 4]


def test_an_expired_request_is_answered_but_not_computed():
    policy = SlowPolicy()
    with serving(policy) as server, Robot(server) as first, Robot(server) as second:
        first.send()
        assert policy.is_inside.wait(5.0)
        second.send(timeout_ms=20.0)
        time.sleep(0.1)
        policy.gate.set()
        found = second.read()
        assert isinstance(first.read(), Answer)
    assert (found.id, found.code) == (1, Code.EXPIRED)
    assert len(policy.inferred) == 1


def test_robots_that_wait_are_inferred_together(flow, monkeypatch):
    policy = SlowPolicy()
    sizes = []

    def infer_batch(observations, noises=None, **asked):
        sizes.append(len(observations))
        return [HoldPolicy().infer(seen) for seen in observations]

    policy.infer_batch = infer_batch
    with serving(policy, max_batch=3) as server:
        robots = [Robot(server) for _ in range(5)]
        robots[0].send()
        assert policy.is_inside.wait(5.0)
        for robot in robots[1:]:
            robot.send()
        while len(server._passes) < 4:
            time.sleep(0.005)
        policy.gate.set()
        for number, robot in enumerate(robots):
            found = robot.read()
            assert isinstance(found, Answer)
            assert found.timings_ms["batch"] == (1.0 if number in (0, 4) else 3.0)
            robot.__exit__()
    assert sizes == [3]


def test_a_reset_and_health_are_answered():
    policy = SlowPolicy()
    policy.gate.set()
    with serving(policy) as server, Robot(server) as robot:
        robot.socket.send(pack_message(Reset(id=1)))
        assert robot.read() == Done(id=1)
        robot.socket.send(pack_message(HealthRequest(id=2)))
        health = robot.read()
    assert policy.resets == 1
    assert isinstance(health, Health)
    assert (health.checkpoint, health.connections, health.waiting) == (SHA, 1, 0)


def test_a_replayed_request_ends_the_connection():
    policy = SlowPolicy()
    policy.gate.set()
    with serving(policy) as server, Robot(server) as robot:
        assert isinstance(robot.ask(), Answer)
        robot.send(1)
        assert robot.read().code is Code.REPLAYED
        with pytest.raises(ConnectionClosed):
            robot.read()
    assert len(policy.inferred) == 1


WHOLE = struct.pack(">BBQ", 0x82, 0xFF, MESSAGE_BYTES + 1) + b"mask"
TOO_LONG = {
    "says how long it is": [WHOLE],
    "comes in two parts": [
        frame(bytes(MESSAGE_BYTES), fin=False),
        frame(b"x", opcode=Opcode.CONT),
    ],
}


@pytest.mark.parametrize("parts", TOO_LONG.values(), ids=TOO_LONG)
def test_a_message_over_the_limit_is_refused_for_its_length(parts):
    """Not only once its time is over, or all peers' messages fill the memory."""
    with serving() as server, RawPeer(server) as peer:
        peer.send(head())
        peer.until(b"\r\n\r\n")
        for part in parts:
            peer.send(part)
        assert peer.closes_within(5.0)
        assert server.metrics.refused == {}
    assert re.search(rb"\x88.\x03\xf1", bytes(peer.received), re.DOTALL)  # closed with 1009


def test_a_message_that_does_not_end_is_cut_though_its_peer_answers_pings(monkeypatch):
    monkeypatch.setattr("so101.policies.remote.server.connection.MESSAGE_S", 0.2)
    with serving() as server, Robot(server) as robot:
        assert isinstance(robot.ask(), Answer)
        robot.socket.socket.sendall(frame(bytes(100))[:50])
        with pytest.raises(ConnectionClosed):
            robot.read()
        assert server.metrics.refused == {"slow": 1}


def test_what_makes_no_sense_ends_the_connection_though_its_peer_answers_pings():
    with serving() as server, Robot(server) as robot:
        assert isinstance(robot.ask(), Answer)
        robot.socket.send(b"\xc1")
        assert robot.read().code is Code.MALFORMED
        with pytest.raises(ConnectionClosed) as caught:
            robot.read()
    assert caught.value.rcvd.code == 1007


def test_swapping_happens_between_passes_and_answers_name_their_checkpoint():
    old, new = SlowPolicy(), SlowPolicy()
    new.gate.set()
    with serving(old) as server, Robot(server) as robot:
        robot.send()
        assert old.is_inside.wait(5.0)
        server.swap(Served(policy=new, sha256="cd" * 32))
        old.gate.set()
        assert robot.read().checkpoint == SHA
        assert robot.ask().checkpoint == "cd" * 32
        assert server.metrics.swaps == 1


@pytest.mark.parametrize(
    "spec",
    [
        make_spec(space=ActionSpace(horizon=50)),
        make_spec(cameras=CAMERAS),
        replace(HoldPolicy().spec, joints=("a", "b")),
    ],
    ids=["another horizon", "other inputs", "other joints"],
)
def test_a_checkpoint_that_does_not_fit_is_refused_and_the_old_one_serves_on(spec):
    with serving() as server, Robot(server) as robot:
        with pytest.raises(CheckpointError, match="differ from those"):
            server.swap(Served(policy=HoldPolicy(spec), sha256="cd" * 32))
        assert robot.ask().checkpoint == SHA


def test_a_server_for_others_needs_a_token():
    served = Served(policy=HoldPolicy(), sha256=SHA)
    with pytest.raises(ConfigError, match="needs a token"):
        PolicyServer(served, ServerConfig(host="0.0.0.0"))


def test_a_taken_port_is_one_line():
    served = Served(policy=HoldPolicy(), sha256=SHA)
    with serving() as server:
        second = HostedServer(PolicyServer(served, ServerConfig(port=server.port)))
        with pytest.raises(ConfigError, match=f"127.0.0.1:{server.port}"):
            second.__enter__()


def test_the_token_lets_in_and_nothing_else_does():
    with serving(token=TOKEN) as server:
        with Robot(server, HEADERS) as robot:
            assert isinstance(robot.ask(), Answer)
        for headers in (None, {"Authorization": "Bearer wrong-wrong-wrong-wrong"}):
            with pytest.raises(InvalidStatus, match="401"):
                Robot(server, headers)
        assert server.metrics.refused["unauthorized"] == 2


def test_pages_say_how_the_server_is():
    with serving(token=TOKEN) as server, Robot(server, HEADERS) as robot:
        robot.ask()
        assert get(server, "/healthz") == (200, "ok\n")
        assert get(server, "/metrics")[0] == 401
        status, text = get(server, "/metrics", f"Authorization: Bearer {TOKEN}")
    assert status == 200
    assert 'so101_serve_requests_total{outcome="answered"} 1' in text
    assert 'so101_serve_refused_total{reason="unauthorized"} 1' in text
    assert "so101_serve_connections 1" in text
    assert 'so101_serve_infer_seconds_bucket{le="+Inf"} 1' in text
    assert TOKEN not in text


def test_the_token_is_in_no_log(caplog):
    with caplog.at_level("DEBUG"), serving(token=TOKEN) as server:
        with Robot(server, HEADERS) as robot:
            robot.ask()
        own = [record for record in caplog.records if "client" not in record.name]
    assert not any(TOKEN in record.getMessage() for record in own)


def test_too_many_robots_are_told_so():
    with serving(max_connections=1) as server, Robot(server):
        with pytest.raises(InvalidStatus, match="503"):
            Robot(server)
        assert server.metrics.refused["full"] == 1


def test_a_place_that_becomes_free_is_taken():
    with serving(max_connections=1) as server:
        for _ in range(3):
            with Robot(server) as robot:
                assert isinstance(robot.ask(), Answer)
            while server._peers:
                time.sleep(0.005)


def openpi(server, **options):
    return connect(f"ws://127.0.0.1:{server.port}", compression=None, proxy=None, **options)


def plain(array):
    return {
        b"__ndarray__": True,
        b"data": array.tobytes(),
        b"dtype": array.dtype.str,
        b"shape": array.shape,
    }


def test_a_peer_without_a_subprotocol_is_spoken_to_as_openpi(flow):
    image = np.zeros((24, 24, 3), dtype=np.uint8)
    asked = {
        "observation/state": plain(np.zeros(6)),
        "observation/image": plain(image),
        "observation/wrist_image": plain(image),
        "prompt": "pick up the cube",
    }
    headers = {"Authorization": f"Api-Key {TOKEN}"}
    with serving(flow, token=TOKEN) as server:
        with openpi(server, additional_headers=headers) as peer:
            assert msgpack.unpackb(peer.recv(5.0))["checkpoint"] == SHA
            for _ in range(3):
                peer.send(msgpack.packb(asked))
            found = [msgpack.unpackb(peer.recv(10.0)) for _ in range(3)]
            peer.send(msgpack.packb({"observation/state": plain(np.zeros(5))}))
            text = peer.recv(5.0)
        with pytest.raises(InvalidStatus, match="401"), openpi(server):
            pass
    for one in found:  # none is superseded: openpi's clients count on one answer for each
        assert one["actions"][b"shape"] == [16, 6]
        assert set(one["server_timing"]) == {"infer_ms"}
    assert isinstance(text, str) and "shape (6,)" in text and "Traceback" not in text


def test_an_unknown_subprotocol_is_refused():
    with (
        serving() as server,
        pytest.raises(InvalidStatus, match="400"),
        openpi(server, subprotocols=["so101.v9"]),
    ):
        pass


def test_a_server_that_ends_finishes_the_pass_that_runs_and_says_so_to_who_waits():
    policy = SlowPolicy()
    context = serving(policy)
    server = context.__enter__()
    first, second = Robot(server), Robot(server)
    first.send()
    assert policy.is_inside.wait(5.0)
    second.send()
    while not len(server._passes):
        time.sleep(0.005)
    ending = threading.Thread(target=context.__exit__, args=(None, None, None))
    ending.start()
    while not server._is_stopping:
        time.sleep(0.005)
    policy.gate.set()
    assert isinstance(first.read(), Answer)
    assert second.read().code is Code.STOPPING
    for robot in (first, second):
        with pytest.raises(ConnectionClosed) as caught:
            robot.read()
        assert caught.value.rcvd.code == 1001
        robot.__exit__()
    ending.join(10.0)
    assert not ending.is_alive()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    subprocess.run(
        [
            *command.split(),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder


def test_tls_is_spoken(certificate):
    tls = tls_context(certificate / "cert.pem", certificate / "key.pem")
    trust = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    with serving(tls=tls, token=TOKEN) as server:
        with Robot(server, HEADERS, ssl=trust) as robot:
            assert isinstance(robot.ask(), Answer)
        with RawPeer(server) as peer:  # one that does not speak it
            peer.send(head())
            assert peer.closes_within(5.0)
        with RawPeer(server) as peer:  # one that does not speak at all
            assert peer.closes_within(5.0)


def test_a_chunk_that_cannot_travel_is_the_policys_failure_and_ends_nothing(caplog):
    policy = SlowPolicy()
    policy.gate.set()
    plan, is_odd = policy.infer, [True]

    def infer(observation, **asked):
        found = plan(observation, **asked)
        return replace(found, aux={"x": np.array(["no number"])}) if is_odd.pop() else found

    policy.infer = infer
    is_odd.insert(0, False)
    with serving(policy) as server, Robot(server) as robot:
        failure = robot.ask()
        assert (failure.code, failure.message) == (Code.POLICY, "its answer cannot travel")
        assert isinstance(robot.ask(), Answer)
        assert server.metrics.requests == {"policy": 1, "answered": 1}
    assert "cannot be written" in caplog.text


def test_a_policy_that_cannot_be_reset_costs_its_own_robot_alone():
    policy = SlowPolicy()
    policy.gate.set()

    def reset():
        raise RuntimeError("worn out")

    with serving(policy) as server, Robot(server) as robot, Robot(server) as other:
        policy.reset = reset
        robot.socket.send(pack_message(Reset(id=1)))
        with pytest.raises(ConnectionClosed):
            robot.read()
        assert isinstance(other.ask(), Answer)
