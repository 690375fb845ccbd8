"""What a server has acts like a checkpoint: tried first, between two episodes, as tried."""

import os
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from contracts.policy_factories import CAMERAS, make_observation

from policy_node.loader import Loaded, Refused
from policy_node.params import PolicyParams
from policy_node.part import PartConfig
from policy_node.served import PolicyServer, ServedPolicy, ServerAddress
from policy_node.supply import CheckpointSupply, ServerSupply, make_supply
from so101.action import ActionSpace
from so101.errors import ConfigError, ServerLostError, ServerRefusedError, SessionError
from so101.policies.hold_policy import HoldPolicy
from so101.spec import PolicySpec

URL = "ws://somewhere:8000"
CONFIG = PartConfig.of(PolicyParams())


@dataclass
class Site:
    """A server as its clients see it; every connection is to what it has at the moment."""

    checkpoint: str = "a" * 64
    spec: PolicySpec = field(default_factory=PolicySpec)
    is_up: bool = True
    is_finite: bool = True
    connections: list = field(default_factory=list)

    def connect(self, url, **options):
        if not self.is_up:
            raise ServerLostError(f"{url}: cannot be reached")
        self.connections.append(Connection(self, url, options))
        return self.connections[-1]

    def restart(self, checkpoint):
        """Come back with other weights; who is connected notices."""
        self.checkpoint = checkpoint
        for one in list(self.connections):
            one.options["on_change"](None, None)


class Connection(HoldPolicy):
    """Stands in for a `RemotePolicy`: an episode runs on the weights of its first chunk."""

    def __init__(self, site, url, options):
        super().__init__(site.spec)
        self.site, self.url, self.options = site, url, options
        self.episode, self.is_closed = "", False

    @property
    def checkpoint(self):
        return self.episode or self.site.checkpoint

    def infer(self, observation, **options):
        if self.episode not in ("", self.site.checkpoint):
            raise ServerRefusedError(f"{self.url}: has other weights")
        self.episode = self.site.checkpoint
        inference = super().infer(observation, **options)
        if not self.site.is_finite:
            broken = np.full_like(inference.chunk.positions, np.nan)
            object.__setattr__(inference.chunk, "positions", broken)
        return inference

    def reset(self):
        self.episode = ""

    def close(self):
        self.is_closed = True


@pytest.fixture
def site():
    return Site()


@pytest.fixture
def make_server(site):
    made = []

    def make(cameras=(), token=""):
        address = ServerAddress(url=URL, token=token, deadline_s=0.5)
        made.append(PolicyServer(address, cameras, CONFIG, connect=site.connect))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def supply(make_server):
    return ServerSupply(make_server())


def until(holds, timeout_s=20.0):
    end_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.002)


def look(supply):
    """Poll as the node does until there is something to say; return who waits then."""
    found = []

    def has_found():
        found.append(supply.look())
        return bool(found[-1]) or supply.succession._next is not None

    until(has_found)
    return found[-1]


def test_it_is_connected_to_tried_and_named_by_its_weights(site, make_server):
    loaded = make_server(token="s3cret").look()
    assert isinstance(loaded, Loaded)
    assert (loaded.path, loaded.sha256) == (URL, site.checkpoint)
    assert site.connections[-1].options["token"] == "s3cret"
    assert site.connections[-1].options["config"].deadline == 0.5
    assert site.connections[-1].episode == ""  # the canary was no episode
    assert not site.connections[-1].is_closed


def test_the_token_is_in_no_text():
    assert "s3cret" not in repr(ServerAddress(url=URL, token="s3cret"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is_up": False}, "cannot be reached"),
        ({"is_finite": False}, "not finite"),
        ({"checkpoint": ""}, "which weights"),
        ({"spec": PolicySpec(action_space=ActionSpace(execute_steps=4))}, "every 4 ticks"),
        ({"spec": PolicySpec(cameras=CAMERAS, image_size=(24, 24))}, "needs cameras"),
    ],
)
def test_what_must_not_drive_is_refused_and_let_go(site, make_server, change, words):
    for name, value in change.items():
        setattr(site, name, value)
    refused = make_server().look()
    assert isinstance(refused, Refused)
    assert words in refused.problem
    assert URL in refused.problem
    until(lambda: all(one.is_closed for one in site.connections))  # its own thread's, too


def test_a_server_that_is_not_there_yet_is_looked_for_until_it_is(site, make_server, monkeypatch):
    monkeypatch.setattr("policy_node.served.RETRY_S", 0.01)
    site.is_up = False
    supply = ServerSupply(make_server())
    assert "cannot be reached" in look(supply)
    site.is_up = True
    until(lambda: not look(supply))
    assert supply.succession.take_over().sha256 == site.checkpoint


def test_other_weights_take_over_between_two_episodes_and_the_old_connection_ends(site, supply):
    look(supply)
    old = supply.succession.take_over()
    site.restart("b" * 64)
    assert look(supply) == ""
    assert supply.succession.live is old
    assert not site.connections[0].is_closed
    assert supply.succession.take_over().sha256 == "b" * 64
    assert [one.is_closed for one in site.connections] == [True, False]


def test_when_the_server_refuses_the_old_weights_their_episode_is_over(site, supply):
    """Facts name the weights of an episode: it cannot go on with others."""
    look(supply)
    old = supply.succession.take_over()
    observation = make_observation()
    old.policy.infer(observation)
    site.restart("b" * 64)
    with pytest.raises(ServerRefusedError, match="other weights"):
        old.policy.infer(observation)
    supply.on_refusal()
    until(lambda: supply.look() == "" and supply.succession.live is None)
    assert site.connections[0].is_closed
    newcomer = supply.succession.take_over()
    assert newcomer.sha256 == "b" * 64
    assert newcomer.policy.infer(observation).chunk.stamp_ns == observation.stamp_ns
    supply.close()
    assert all(one.is_closed for one in site.connections)


def test_a_refusal_for_another_reason_ends_nothing(site, supply):
    look(supply)
    live = supply.succession.take_over()
    supply.on_refusal()
    until(lambda: len(site.connections) == 2 and site.connections[1].is_closed is False)
    until(lambda: supply.look() == "" and site.connections[1].is_closed)
    assert supply.succession.live is live
    assert supply.succession.take_over() is None
    assert not site.connections[0].is_closed


def test_weights_that_changed_unheard_are_noticed_with_the_first_chunk(site):
    connection = Connection(site, URL, {})
    policy = ServedPolicy(connection, "b" * 64)
    with pytest.raises(ServerRefusedError, match=r"aaaaaaaaaaaa.*bbbbbbbbbbbb"):
        policy.infer(make_observation())
    assert policy.spec == site.spec and policy.noise_shape == ()


def test_a_server_decides_itself_which_policy_acts(supply, tmp_path):
    with pytest.raises(SessionError, match="a server says"):
        supply.announce(tmp_path)
    assert supply.reload() == "asking the server"


def test_parameters_name_a_checkpoint_or_a_server_not_both(tmp_path):
    assert isinstance(make_supply(PolicyParams(), CONFIG), CheckpointSupply)
    with pytest.raises(ConfigError, match="choose one"):
        make_supply(PolicyParams(server=URL, checkpoint="somewhere"), CONFIG)


def test_a_token_that_others_may_read_is_refused(tmp_path):
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    os.chmod(file, 0o644)
    with pytest.raises(ConfigError, match="others may read"):
        make_supply(PolicyParams(server=URL, server_token_file=str(file)), CONFIG)


def test_there_is_no_checkpoint_to_reload_before_one_was_announced():
    supply = make_supply(PolicyParams(), CONFIG)
    with pytest.raises(SessionError, match="no checkpoint was announced"):
        supply.reload()
    assert supply.look() == ""
