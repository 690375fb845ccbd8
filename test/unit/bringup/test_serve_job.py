"""``so101 serve --learn``: robots over real sockets, a learner beside, a store that grows."""

import asyncio
import shutil
from dataclasses import replace

import pytest
from factories import make_observation
from group_runs import PLAN, SEED, GroupRun, episode
from serving import Robot

from learner_node.serving_work import ServingLearnerConfig, read_config
from learner_node.trainer import Trainer
from so101.errors import CheckpointError, ConfigError, StoreError
from so101.policies.checkpoints.files import verify
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.server import PolicyServer
from so101.policies.remote.wire.messages import Done, Reset
from so101.policies.remote.wire.protocol import pack_message
from so101_bringup import serve_job
from so101_bringup.cli import main

CONFIG = ServingLearnerConfig(
    steps=12, publish_every=5, seed=SEED, settings={"batch_size": 8, "warmup_steps": 2}
)
SEEN = replace(make_observation(objects=1), task="pick")


@pytest.fixture
def made(tmp_path_factory, tmp_path):
    begun = GroupRun(tmp_path_factory.mktemp("serving") / "run").begin()
    return begun.copy(tmp_path / "run")


def serve(made, act, lines):
    """Serve and learn while a robot's part runs in a thread of its own."""

    async def run(learning):
        config = ServerConfig(port=0, swap_rule="episode")
        server = PolicyServer(learning.served, config, on_busy=learning.on_busy)
        await server.start()
        beside = asyncio.create_task(learning.companion(server))
        try:
            await asyncio.to_thread(act, server)
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
            await server.stop()

    with serve_job.learning(
        made.supervised.path, made.store, CONFIG, say=lines.append
    ) as learning:
        asyncio.run(run(learning))


def begin(robot):
    robot.last += 1
    robot.socket.send(pack_message(Reset(id=robot.last)))
    assert isinstance(robot.read(), Done)


def test_a_robot_is_answered_while_training_and_its_next_episode_has_what_was_learned(made):
    made.record(episode(PLAN.demonstration(3), 43))
    first = made.supervised
    asked = []

    def act(server):
        with Robot(server) as robot:
            while server.metrics.swaps < 3:
                asked.append(robot.ask(SEEN).checkpoint)
            assert set(asked) == {first.sha256}  # its episode has not ended
            begin(robot)
            asked.append(robot.ask(SEEN).checkpoint)

    lines = []
    serve(made, act, lines)
    (newest,) = made.checkpoints.glob(f"live-*/step_{first.record.step + 12:06d}")
    assert asked[-1] == verify(newest).sha256
    assert any("training" in line for line in lines)
    again = []
    serve(made, lambda server: again.append(server.served.sha256), [])
    assert again == [asked[-1]]  # a restart serves on what was served last


def test_a_learner_that_dies_is_told_of_and_the_server_serves_on(made, monkeypatch):
    made.record(episode(PLAN.demonstration(3), 43))

    def fail(self):
        raise StoreError(f"{made.root}: disk full")

    monkeypatch.setattr(Trainer, "_advance", fail)
    pages = []

    def act(server):
        with Robot(server) as robot:
            for _ in range(100_000):
                assert robot.ask(SEEN).checkpoint == made.supervised.sha256
                if "degraded" in server.metrics.summary():
                    break
            pages.append((server.metrics.summary(), server.metrics.text()))

    lines = []
    serve(made, act, lines)
    ((summary, text),) = pages
    assert "learner: degraded" in summary and "disk full" not in summary
    assert "disk full" in text
    assert any("degraded" in line and "disk full" in line for line in lines)


def test_two_learners_do_not_train_in_one_place(made):
    with serve_job.learning(made.supervised.path, made.store, CONFIG, say=print):
        again = serve_job.learning(made.supervised.path, made.store, CONFIG, say=print)
        with pytest.raises(StoreError, match="so101 serve --learn"), again:
            pass


def test_a_checkpoint_outside_a_run_is_not_trained_further(made, tmp_path):
    alone = shutil.copytree(made.supervised.path, tmp_path / "alone")
    learning = serve_job.learning(alone, made.store, CONFIG, say=print)
    with pytest.raises(CheckpointError, match="no series of checkpoints"), learning:
        pass


@pytest.mark.parametrize(
    "arguments", [["--learn", "store"], ["--learn", "s", "--checkpoint", "c", "--follow", "f"]]
)
def test_learning_needs_a_checkpoint_to_begin_with(arguments, capsys):
    assert main(["serve", *arguments]) != 0
    assert "--learn needs a --checkpoint" in capsys.readouterr().err


def test_a_learning_file_says_what_differs():
    values = {"steps": 12, "rule": "median", "settings": {"batch_size": 8}, "gate": {"poses": 9}}
    config = read_config(values, "learning.yaml")
    assert (config.steps, config.rule, config.gate.poses) == (12, "median", 9)
    assert config.gate.by == "next_group"
    assert config.settings == {"batch_size": 8}
    assert read_config({}, "learning.yaml") == ServingLearnerConfig()
    with pytest.raises(ConfigError, match="settings"):
        read_config({"settings": {"batch_sice": 8}}, "learning.yaml")


def test_the_learning_file_is_checked(tmp_path, made, capsys):
    file = tmp_path / "learning.yaml"
    file.write_text("publish_evry: 5\n")
    arguments = ["--checkpoint", str(made.supervised.path), "--learn", str(made.store.root)]
    assert main(["serve", *arguments, "--learning", str(file)]) != 0
    assert "publish_every" in capsys.readouterr().err
