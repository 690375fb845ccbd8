"""What is loaded to be served, and what is not: bad checkpoints change nothing."""

import numpy as np
import pytest
from bad_checkpoints import WAYS, planted, publish
from contracts.policy_factories import make_observation, make_policy
from serving import Robot, serving

from so101.action import ActionSpace
from so101.errors import CheckpointError
from so101.policies.checkpoints.json_file import read_json, write_json
from so101.policies.checkpoints.roles import assign, promote
from so101.policies.remote.server.following import Follower, load_served


@pytest.mark.parametrize("how", WAYS)
def test_a_bad_checkpoint_is_refused_and_the_old_policy_serves_on(tmp_path, how):
    root = tmp_path / "checkpoints"
    first = publish(root)
    promote(root, first.path)
    served = load_served(first.path)
    follower = Follower(root, load_served)
    with serving(served.policy, sha256=served.sha256) as server, Robot(server) as robot:
        assert follower.poll(served.sha256, server.swap) == ""
        before = robot.ask(noise=np.zeros((16, 6), dtype=np.float32)).chunk.positions
        bad = planted(root, tmp_path, how)
        point(root, bad)
        line = follower.poll(served.sha256, server.swap)
        assert line.startswith("refused, the old checkpoint serves on: ")
        assert follower.poll(served.sha256, server.swap) == ""  # not tried again
        after = robot.ask(noise=np.zeros((16, 6), dtype=np.float32))
    assert after.checkpoint == first.sha256
    assert np.array_equal(after.chunk.positions, before)
    assert not (tmp_path / "canary").exists()
    with pytest.raises(CheckpointError):
        load_served(bad)


def point(root, path):
    """Promote a checkpoint as a writer without scruples would."""
    pointers = read_json(root / "latest.json")
    pointers["roles"]["promoted"] = f"{path.parent.name}/{path.name}"
    write_json(root / "latest.json", pointers)


def test_what_is_promoted_serves_from_then_on(tmp_path):
    first, second = publish(tmp_path, step=1), publish(tmp_path, step=2)
    promote(tmp_path, first.path)
    served = load_served(first.path)
    follower = Follower(tmp_path, load_served)
    noise = np.zeros((16, 6), dtype=np.float32)
    with serving(served.policy, sha256=served.sha256) as server, Robot(server) as robot:
        assert robot.ask(noise=noise).checkpoint == first.sha256
        assert follower.poll(server.served.sha256, server.swap) == ""
        promote(tmp_path, second.path)
        line = follower.poll(server.served.sha256, server.swap)
        found = robot.ask(noise=noise)
    assert line == f"serving sft/step_000002 {second.sha256[:12]}"
    assert found.checkpoint == second.sha256
    local = make_policy(seed=2).infer(make_observation(), noise=noise)
    assert np.array_equal(found.chunk.positions, local.chunk.positions)


def test_a_candidate_is_not_followed(tmp_path):
    first = publish(tmp_path, step=1)
    promote(tmp_path, first.path)
    follower = Follower(tmp_path, load_served)
    assign(tmp_path, "candidate", publish(tmp_path, step=2).path)
    assert follower.poll(first.sha256, pytest.fail) == ""


def test_a_checkpoint_that_peers_were_not_told_of_is_refused(tmp_path):
    first = publish(tmp_path, step=1)
    promote(tmp_path, first.path)
    served = load_served(first.path)
    with serving(served.policy, sha256=served.sha256) as server:
        longer = make_policy(space=ActionSpace(horizon=50))
        promote(tmp_path, publish(tmp_path, longer, step=2).path)
        line = Follower(tmp_path, load_served).poll(served.sha256, server.swap)
        assert "differ from those that are served" in line
        assert server.served.sha256 == first.sha256


def test_a_directory_without_checkpoints_is_waited_for(tmp_path):
    follower = Follower(tmp_path / "checkpoints", load_served)
    assert follower.poll("", pytest.fail) == ""
