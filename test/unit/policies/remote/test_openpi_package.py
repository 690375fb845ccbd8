"""openpi's clients with our server: the package where it is installed, and one of our own.

openpi-client 0.1 asks for numpy below 2, so it cannot be installed beside this project; it runs
with numpy 2 all the same. Where somebody put it beside the project regardless, it is tested.
"""

from contextlib import closing, contextmanager

import numpy as np
import pytest
from contracts.policy_factories import make_observation, make_spec
from openpi_peers import OpenPiClient

from so101.images import decode_image, encode_jpeg
from so101.policies.hold_policy import HoldPolicy
from so101.policies.remote.client.openpi_client import OpenPiPolicy
from so101.policies.remote.client.openpi_format import OpenPiFormat
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.hosting import HostedServer
from so101.policies.remote.server.inference import Served
from so101.policies.remote.server.openpi_dialect import OpenpiKeys
from so101.policies.remote.server.server import PolicyServer
from so101.robot import to_lerobot

# the package opens its connection in a way that websockets has deprecated since
pytestmark = pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context manager")

CAMERAS = ("wrist", "front")
TOKEN = "correct-horse-battery-staple"


@contextmanager
def package(url, token=""):
    wheel = pytest.importorskip(
        "openpi_client.websocket_client_policy",
        reason="openpi-client is not installed: its metadata refuses numpy 2",
    )
    made = wheel.WebsocketClientPolicy(url, api_key=token or None)
    try:
        yield made
    finally:
        made._ws.close()


class Watcher(HoldPolicy):
    """Holds, and remembers what it saw."""

    def infer(self, observation, **asked):
        self.seen = observation
        return super().infer(observation, **asked)


@pytest.fixture(params=[OpenPiClient, package], ids=["own", "package"])
def client(request):
    return request.param


def serve(policy, token=None, **openpi):
    served = Served(policy=policy, sha256="ab" * 32)
    config = ServerConfig(port=0, openpi=OpenpiKeys(**openpi))
    return HostedServer(PolicyServer(served, config, token=token))


def url(hosted):
    return f"ws://127.0.0.1:{hosted.server.port}"


def test_what_the_server_says_of_itself_is_read(client):
    with serve(HoldPolicy()) as hosted, client(url(hosted)) as one:
        metadata = one.get_server_metadata()
    assert metadata["checkpoint"] == "ab" * 32
    assert metadata["action_horizon"] == 16


def test_the_policy_sees_what_was_sent(client):
    policy = Watcher(make_spec(cameras=CAMERAS))
    seen = make_observation(cameras=CAMERAS)
    jpeg = encode_jpeg(seen.images["wrist"])
    asked = {
        "observation/state": seen.positions,
        "observation/image": seen.images["front"],
        "observation/wrist_image": jpeg,
        "prompt": "pick up the cube",
    }
    with serve(policy) as hosted, client(url(hosted)) as one:
        actions = one.infer(asked)["actions"]
    np.testing.assert_allclose(actions, np.tile(seen.positions, (16, 1)), rtol=1e-6)
    assert np.array_equal(policy.seen.positions, seen.positions)
    assert np.array_equal(policy.seen.images["front"], seen.images["front"])
    assert np.array_equal(policy.seen.images["wrist"], decode_image(jpeg))
    assert policy.seen.task == "pick up the cube"


def test_our_client_and_our_server_understand_each_other_in_openpi():
    policy = Watcher(make_spec(cameras=CAMERAS))
    seen = make_observation(cameras=CAMERAS)
    images = {"observation/image": "front", "observation/wrist_image": "wrist"}
    wanted = OpenPiFormat(units="degrees", horizon=16, images=images)
    with (
        serve(policy, units="degrees") as hosted,
        closing(OpenPiPolicy.connect(url(hosted), wanted)) as remote,
    ):
        chunk = remote.infer(seen).chunk.positions
    np.testing.assert_allclose(chunk, np.tile(seen.positions, (16, 1)), atol=1e-5)
    assert np.array_equal(policy.seen.images["front"], seen.images["front"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_positions_come_back_in_the_units_they_were_sent_in(client, dtype):
    pose = make_observation().positions
    state = to_lerobot(pose).astype(dtype)
    with serve(HoldPolicy(), units="degrees") as hosted, client(url(hosted)) as one:
        for _ in range(3):
            actions = one.infer({"observation/state": state, "prompt": ""})["actions"]
            np.testing.assert_allclose(actions, np.tile(state, (16, 1)), rtol=1e-5, atol=1e-4)


def test_what_is_wrong_is_a_text_without_a_traceback(client):
    with (
        serve(HoldPolicy()) as hosted,
        client(url(hosted)) as one,
        pytest.raises(RuntimeError, match="is missing") as caught,
    ):
        one.infer({"prompt": "pick"})
    assert "Traceback" not in str(caught.value)


def test_the_key_of_openpi_opens_a_server_with_a_token(client):
    state = make_observation().positions
    with serve(HoldPolicy(), token=TOKEN) as hosted, client(url(hosted), TOKEN) as one:
        assert one.infer({"observation/state": state})["actions"].shape == (16, 6)
