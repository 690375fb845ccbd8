"""Our client with our server: the policy over there plans what it would plan here."""

import subprocess
from contextlib import closing

import numpy as np
import pytest
from contracts.policy_contract import PolicyContract
from contracts.policy_factories import make_observation, make_policy
from proxy import Proxy

from so101.errors import ServerLostError, ServerRefusedError
from so101.policies.hold_policy import HoldPolicy
from so101.policies.remote.client.client import RemoteConfig, RemotePolicy
from so101.policies.remote.server.access import tls_context
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.hosting import HostedServer
from so101.policies.remote.server.inference import Served
from so101.policies.remote.server.server import PolicyServer

CAMERAS = ("wrist", "front")
TOKEN = "correct-horse-battery-staple"


def host(policy, *, sha256="ab" * 32, **options):
    served = Served(policy=policy, sha256=sha256)
    return HostedServer(PolicyServer(served, ServerConfig(port=0), **options))


def url(hosted, scheme="ws"):
    return f"{scheme}://127.0.0.1:{hosted.server.port}"


@pytest.fixture(scope="module")
def flow():
    return make_policy(cameras=CAMERAS)


@pytest.fixture(scope="module")
def hosted(flow):
    with host(flow) as made:
        yield made


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return folder


class TestFlowPolicyBehindTheServer(PolicyContract):
    """What holds for a policy holds for it on a server, to the last bit where noise is given."""

    @pytest.fixture
    def policy(self, hosted):
        patient = RemoteConfig(deadline=10.0)  # the first gradient of a process takes a while
        with closing(RemotePolicy.connect(url(hosted), config=patient)) as made:
            yield made

    @pytest.fixture
    def observation(self):
        return make_observation(cameras=CAMERAS)

    def test_it_plans_what_the_policy_plans_here(self, policy, flow, observation):
        noise = self.noise(flow)
        here = flow.infer(observation, noise=noise)
        there = policy.infer(observation, noise=noise)
        assert np.array_equal(there.chunk.positions, here.chunk.positions)
        assert np.array_equal(there.native_action, here.native_action)
        assert policy.spec == flow.spec
        assert policy.noise_shape == flow.noise_shape
        assert policy.checkpoint == "ab" * 32


def test_an_encrypted_way_needs_a_certificate_that_is_trusted(certificate):
    tls = tls_context(certificate / "cert.pem", certificate / "key.pem")
    with host(HoldPolicy(), tls=tls) as hosted:
        there = url(hosted, "wss")
        with pytest.raises(ServerRefusedError, match=r"wss://.*its certificate is not trusted"):
            RemotePolicy.connect(there)
        with closing(RemotePolicy.connect(there, ca=certificate / "cert.pem")) as policy:
            assert policy.infer(make_observation()).chunk.positions.shape == (16, 6)
            with pytest.raises(ServerLostError):
                RemotePolicy.connect(url(hosted))


def test_the_token_lets_in_and_nothing_else_does():
    with host(HoldPolicy(), token=TOKEN) as hosted:
        for wrong in ("", "wrong-horse-battery-staple"):
            with pytest.raises(ServerRefusedError, match=r"refuses: 401"):
                RemotePolicy.connect(url(hosted), token=wrong)
        with closing(RemotePolicy.connect(url(hosted), token=TOKEN)) as policy:
            policy.infer(make_observation())


def test_weights_swapped_in_an_episode_wait_for_the_next_one():
    changes = []
    with host(HoldPolicy()) as hosted:
        told = RemotePolicy.connect(url(hosted), on_change=lambda *pair: changes.append(pair))
        with closing(told) as policy:
            policy.infer(make_observation())
            hosted.server.swap(Served(policy=HoldPolicy(), sha256="cd" * 32))
            with pytest.raises(ServerRefusedError, match=r"cdcdcdcdcdcd.*abababababab"):
                policy.infer(make_observation())
            policy.reset()
            policy.infer(make_observation())
            assert policy.checkpoint == "cd" * 32
    assert len(changes) == 1


def test_forty_milliseconds_each_way_cost_eighty_and_no_correctness(hosted, flow):
    seen = make_observation(cameras=CAMERAS)
    noise = np.zeros(flow.noise_shape, np.float32)
    with (
        Proxy(hosted.server.port, delay_s=0.04) as proxy,
        closing(RemotePolicy.connect(f"ws://127.0.0.1:{proxy.port}")) as policy,
    ):
        chunk = policy.infer(seen, noise=noise).chunk.positions
        assert policy.timings_ms["round_trip"] >= 80.0
    assert np.array_equal(chunk, flow.infer(seen, noise=noise).chunk.positions)


def test_a_deadline_shorter_than_the_way_is_missed_in_time(hosted):
    with Proxy(hosted.server.port, delay_s=0.2) as proxy:
        config = RemoteConfig(deadline=0.1)
        there = f"ws://127.0.0.1:{proxy.port}"
        with closing(RemotePolicy.connect(there, config=config)) as policy:
            for _ in range(2):
                with pytest.raises(ServerLostError, match=r"no answer within 0\.\d+ s"):
                    policy.infer(make_observation(cameras=CAMERAS))
