"""LeRobot's policies under our algorithms: unchanged, weighted, resumable, sharing the frozen."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import make_bag, make_episode
from lerobot_batches import NEEDS

from learner_node import training
from learner_node.algorithms.group_reinforce import GroupReinforce, GroupReinforceConfig
from learner_node.algorithms.sft import Sft, SftConfig
from learner_node.base import take_base
from learner_node.fine_tuning import fine_tuning_job, open_job
from learner_node.job import JobDirectory, TrainingJob
from learner_node.lesson import Lesson
from learner_node.planning import TrainingRequest, bag_sha256
from learner_node.trainer import Trainer, TrainerConfig
from so101.data.exchange.lerobot_format import HOW_TO_INSTALL
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import EpisodeDataset
from so101.episode import ControlSource, Outcome
from so101.errors import ConfigError
from so101.policies.checkpoints.checkpoint import load_policy, load_training_state
from so101.policies.checkpoints.files import EpisodeRef
from so101.policies.policy import Tunable
from so101.policies.tuning import Tuning
from so101.robot import CAMERAS, JOINTS
from so101_bringup.cli import main

pytestmark = [
    pytest.mark.skipif(
        any(find_spec(name) is None for name in NEEDS),
        reason=f"LeRobot and its policies are not installed: {HOW_TO_INSTALL}",
    ),
    pytest.mark.timeout(300),  # the first test imports LeRobot, long on a busy machine
]
PALIGEMMA = "google--paligemma-3b-pt-224"
SIZE = (64, 96)
OFTEN = TrainerConfig(save_every=2, report_every=2)
LORA = {"mode": "lora", "rank": 8, "alpha": 16.0}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Return LeRobot checkpoints of tiny policies by kind."""
    from tiny_lerobot import tiny_paligemma, write_checkpoint, write_tokenizer

    torch.set_num_threads(1)
    made = {}

    def base(kind):
        if kind not in made:
            path = write_checkpoint(kind, tmp_path_factory.mktemp(kind))[0]
            (path / "so101.yaml").write_text("rate_hz: 30\nunits: degrees\n")
            if kind == "pi0":
                write_tokenizer(path / "repositories" / PALIGEMMA)
            made[kind] = path
        return made[kind]

    with tiny_paligemma():
        yield base


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two demonstrations and a rollout, with both cameras."""
    root = tmp_path_factory.mktemp("run") / "episodes"
    for i, source in enumerate([ControlSource.TELEOP] * 2 + [ControlSource.POLICY]):
        make_bag(
            directory=root / f"20260101-00000{i}-e{i}",
            episode=f"e{i}",
            seed=i,
            steps=10,
            cameras=CAMERAS,
            image_size=SIZE,
            outcome=Outcome.SUCCESS,
            source=source,
        )
    return EpisodeStore(root)


@pytest.fixture(scope="module")
def policies(bases, tmp_path_factory):
    """Return a new policy of a kind, from a checkpoint of ours."""
    root = tmp_path_factory.mktemp("checkpoints")

    def policy(kind, tuning=None):
        loaded = load_policy(take_base(root, str(bases(kind))).path, JOINTS, CAMERAS)
        if tuning is not None:
            loaded.tune(tuning)
        return loaded

    return policy


def chunks(policy, rows=4):
    episodes = [
        make_episode(steps=12, seed=seed, cameras=CAMERAS, image_size=SIZE) for seed in (1, 2)
    ]
    dataset = EpisodeDataset.from_episodes(episodes, policy.spec)
    return dataset.chunks(np.random.default_rng(0), rows)


def merge(first, second):
    """Return the rows of two batches."""

    def joined(a, b):
        return np.concatenate([a, b])

    seen, other = first.observation, second.observation
    arrays = {
        name: joined(getattr(seen, name), getattr(other, name))
        for name in ("positions", "velocities", "effort", "commands")
    }
    for name in ("images", "image_mask"):
        theirs = getattr(other, name)
        arrays[name] = {
            key: joined(value, theirs[key]) for key, value in getattr(seen, name).items()
        }
    both = replace(seen, **arrays, objects=None, tasks=seen.tasks + other.tasks)
    names = ("actions", "mask", "weight")
    own = {name: joined(getattr(first, name), getattr(second, name)) for name in names}
    return replace(first, observation=both, **own)


def fixed_loss(policy, batch):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(batch), 4, *policy.noise_shape, generator=generator)
    time = torch.rand(len(batch), 4, generator=generator)
    return policy.loss(batch, noise=noise, time=time).detach()


class Handful:
    """Always the same chunks."""

    def __init__(self, batch):
        self._batch = batch

    def chunks(self, rng, batch_size):
        return self._batch


def numbers(tensors):
    return sum(one.numel() for one in tensors)


@pytest.mark.parametrize(
    ("kind", "tuning", "steps", "factor"),
    [
        ("act", {"mode": "full"}, 6, 0.8),
        ("smolvla", {"mode": "expert"}, 30, 0.7),
        ("pi0", LORA, 30, 0.7),
    ],
)
def test_a_handful_of_recorded_chunks_is_fitted(policies, kind, tuning, steps, factor):
    policy = policies(kind, tuning)
    batch = chunks(policy, rows=2)
    config = SftConfig(steps=steps, learning_rate=5e-3, warmup_steps=2, draws=2, ema_decay=0.5)
    algorithm = Sft(policy, config, seed=0)
    before = fixed_loss(policy, batch).mean()
    trainer = Trainer(algorithm, Handful(batch), steps=steps, seed=0)
    trainer.run()
    after = fixed_loss(algorithm.policy(), batch).mean()
    assert after < factor * before
    assert trainer.skipped == 0


@pytest.mark.parametrize(("kind", "tuning"), [("smolvla", {"mode": "expert"}), ("pi0", LORA)])
def test_weights_push_towards_good_rows_and_away_from_bad_ones(policies, kind, tuning):
    policy = policies(kind, tuning)
    good = chunks(policy, rows=1)
    here = good.observation.positions[:, None]
    # the same sight, and the opposite motion: what is good for one is bad for the other
    both = merge(good, replace(good, actions=2.0 * here - good.actions))
    batch = replace(both, weight=np.array([1.0, -1.0], dtype=np.float32))
    config = GroupReinforceConfig(steps=100, learning_rate=1e-3, batch_size=2, draws=4)
    algorithm = GroupReinforce(policy, config, seed=0)
    before = fixed_loss(policy, batch)
    for _ in range(8):
        assert not algorithm.update(batch).skipped
    change = fixed_loss(policy, batch) - before
    assert change[0] < 0 < change[1]


@pytest.mark.parametrize(("kind", "tuning"), [("smolvla", {"mode": "expert"}), ("pi0", LORA)])
def test_only_what_trains_is_kept_twice(policies, kind, tuning):
    policy = policies(kind, tuning)
    algorithm = Sft(policy, SftConfig(steps=5, draws=1), seed=0)
    algorithm.update(chunks(policy))
    trained = numbers(policy.parameters())
    everything = numbers(policy.network.parameters())
    kept = [one for one in algorithm.state_dict().values() if one.is_floating_point()]
    steps = len(list(policy.parameters()))  # the optimiser counts per weight
    assert numbers(kept) == 4 * trained + steps  # weights, average, two moments
    assert trained < 0.4 * everything
    acting = algorithm.policy()
    own = {one.data_ptr() for one in policy.network.parameters()}
    copied = [one for one in acting.network.parameters() if one.data_ptr() not in own]
    assert numbers(copied) == trained


def test_what_acts_is_not_changed_by_training_on(policies):
    policy = policies("pi0", LORA)
    algorithm, batch = Sft(policy, SftConfig(steps=9, learning_rate=1e-2), seed=0), chunks(policy)
    algorithm.update(batch)
    acting = algorithm.policy()
    before = fixed_loss(acting, batch)
    for _ in range(3):
        algorithm.update(batch)
    assert torch.equal(fixed_loss(acting, batch), before)
    assert not torch.equal(fixed_loss(policy, batch), before)
    merged = acting.merged()
    torch.testing.assert_close(fixed_loss(merged, batch), before, rtol=1e-4, atol=1e-5)


def request(kind, tuning, steps=6):
    values = {"batch_size": 2, "learning_rate": 1e-3, "warmup_steps": 1}
    return TrainingRequest(steps=steps, seed=3, settings=values, tuning=tuning)


def test_a_job_trains_a_base_by_part_and_goes_on_exactly_after_a_stop(bases, store, tmp_path):
    roots = [tmp_path / name / "checkpoints" for name in ("straight", "stopped")]
    jobs = [
        fine_tuning_job(request("pi0", LORA), store, root, base=str(bases("pi0")))
        for root in roots
    ]
    assert jobs[0] == jobs[1] and jobs[0].parent.startswith("base-")
    assert jobs[0].spec.cameras == CAMERAS and len(jobs[0].episodes) == 2
    assert jobs[0].settings["draws"] == 1 and jobs[0].settings["learning_rate"] == 1e-3
    directories = [open_job(root.parent / "jobs", jobs[0]) for root in roots]
    want = training.run(directories[0], store, roots[0], trainer_config=OFTEN)
    calls = iter(range(100))
    stopped = training.run(
        directories[1],
        store,
        roots[1],
        trainer_config=OFTEN,
        should_stop=lambda: next(calls) == 3,
    )
    assert stopped is None
    done = training.run(directories[1], store, roots[1], trainer_config=OFTEN)
    assert done.sha256 == want.sha256
    assert load_training_state(done.path)["counters"][0] == 6
    base = load_policy(roots[0] / jobs[0].parent, JOINTS, CAMERAS)
    policy = load_policy(done.path, JOINTS, CAMERAS)
    assert (
        policy.kind == "lerobot"
        and want.record.parent == training.verify(roots[0] / jobs[0].parent).sha256
    )
    adapters = [name for name, one in policy.network.named_parameters() if one.requires_grad]
    assert adapters and all("lora" in name for name in adapters)
    frozen = dict(base.network.named_parameters())
    for name, one in policy.network.named_parameters():
        if not one.requires_grad:
            assert torch.equal(one, frozen[name.replace(".base_layer", "")])


def test_a_fine_tuned_policy_is_the_live_policy_of_groups(bases, store, tmp_path):
    root = tmp_path / "checkpoints"
    job = fine_tuning_job(request("pi0", LORA, 2), store, root, base=str(bases("pi0")))
    supervised = training.run(open_job(tmp_path / "jobs", job), store, root)
    rollout = next(entry for entry in store.episodes() if entry.facts.id == "e2")
    lesson = Lesson(
        group=1,
        advantages={"e2": -0.5},
        paces={},
        demonstrations=("e0", "e1"),
        standard_s=None,
        target_s=None,
        chosen=1,
        known=3,
    )
    group = TrainingJob(
        name="group-01",
        algorithm="group_reinforce",
        episodes=(*job.episodes, EpisodeRef(id="e2", sha256=bag_sha256(rollout.path))),
        steps=2,
        first_step=supervised.record.step,
        parent=f"{supervised.path.parent.name}/{supervised.path.name}",
        spec=job.spec,
        settings={"steps": 2, "batch_size": 4, "draws": 1, "learning_rate": 1e-3,
                  "demonstration_share": 0.5},
        lesson=lesson,
    )  # fmt: skip
    first = training.run(open_job(tmp_path / "jobs", group), store, root)
    assert first.record.parent == supervised.sha256 and first.path.name == "step_000004"
    again = replace(
        group, name="group-02", parent="group-01/step_000004", first_step=4,
        lesson=replace(lesson, group=2),
    )  # fmt: skip
    second = training.run(open_job(tmp_path / "jobs", again), store, root)
    state = load_training_state(second.path)
    assert state["algorithm/step"] == 4  # optimiser and average went on where they were
    names = [load_policy(one.path, JOINTS, CAMERAS).config_mapping() for one in (first, second)]
    assert names[0] == names[1] and names[0]["config"]["tuning"]["mode"] == "lora"


def test_a_base_is_taken_once(bases, tmp_path):
    first = take_base(tmp_path, str(bases("act")))
    assert take_base(tmp_path, str(bases("act"))) == first
    assert take_base(tmp_path, str(first.path)) == first
    assert first.record.algorithm == "lerobot" and first.path.name == "step_000000"


def test_a_policy_without_parts_trains_as_a_whole(setup, tmp_path):
    from learner_node.planning import plan
    from so101.spec import PolicySpec

    store, checkpoints, directory = setup
    small = TrainingRequest(
        spec=PolicySpec(uses_objects=True),
        steps=2,
        settings={"batch_size": 8},
        policy={"width": 16, "depth": 1},
    )
    directory.create(plan(small, store, checkpoints))
    parent = training.run(directory, store, checkpoints)
    assert not isinstance(load_policy(parent.path, JOINTS, CAMERAS), Tunable)
    for mode in ("full", "lora"):
        wanted = replace(small, name=mode, parent="sft/step_000002", tuning={"mode": mode})
        child = JobDirectory(tmp_path / "jobs" / mode)
        child.create(plan(wanted, store, checkpoints))
        if mode == "full":
            assert training.run(child, store, checkpoints).record.parent == parent.sha256
            continue
        with pytest.raises(ConfigError, match="a flow policy trains as a whole"):
            training.run(child, store, checkpoints)


def test_the_command_fine_tunes_a_base(bases, store, tmp_path, capsys):
    command = ["train", "--store", str(tmp_path), "--episodes", str(store.root), "--steps", "2"]
    command += ["--base", str(bases("smolvla")), "--tune", "lora", "--set", "batch_size=2"]
    assert main([*command, "--set", "tuning.rank=4"]) == 0
    path = capsys.readouterr().out.split("checkpoint ")[-1].split()[0]
    policy = load_policy(Path(path), JOINTS, CAMERAS)
    tuning = policy.config_mapping()["config"]["tuning"]
    assert (tuning["mode"], tuning["rank"]) == ("lora", 4)
    assert main([*command, "--set", "tuning.rank=4"]) == 0
    assert path in capsys.readouterr().out  # done already


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tune", "lora"], "--tune needs --base"),
        (["--state", "--base", "x/y"], "leave out --state"),
        (["--base", "x/y", "--set", "tuning"], "say NAME=VALUE"),
        (["--base", "x/y", "--set", "device.name=1"], "device has no parts"),
        (["--base", "x/y", "--set", "tuning.rnk=1"], "did you mean 'rank'"),
        (["--base", "x/y", "--tune", "half"], "full"),
        (["--base", "/nowhere/at/all"], "no such checkpoint directory"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(store, tmp_path, capsys, options, message):
    command = ["train", "--store", str(tmp_path), "--episodes", str(store.root), "--steps", "2"]
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err


def test_a_part_that_a_policy_lacks_is_refused(bases, store, tmp_path):
    job = fine_tuning_job(
        request("act", {"mode": "expert"}), store, tmp_path, base=str(bases("act"))
    )
    with pytest.raises(ConfigError, match="act: has no action expert"):
        training.run(open_job(tmp_path / "jobs", job), store, tmp_path)
    assert Tuning().mode == ""
