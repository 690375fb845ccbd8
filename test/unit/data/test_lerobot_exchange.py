"""Episodes to LeRobot and back: its own loader reads them, its own policy trains on them."""

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from factories import START_NS, make_bag, make_calibration, make_rollout

from so101.data.episodes.episode_reader import read_episode
from so101.data.exchange import lerobot_export, lerobot_format
from so101.data.exchange.lerobot_export import export_episodes
from so101.data.exchange.lerobot_import import ImportConfig, import_episodes
from so101.data.exchange.lerobot_source import open_source, read_columns
from so101.data.exchange.lerobot_values import ACTION, STATE, to_columns
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import ControlSource, Outcome
from so101.errors import BagError, ConfigError, StoreError
from so101.events import LabelEvent
from so101.images import decode_image
from so101.robot import JOINTS
from so101.topics import JOINT_STATES
from so101_bringup.cli import main

pytestmark = pytest.mark.skipif(
    find_spec("lerobot") is None,
    reason=f"LeRobot is not installed: {lerobot_format.HOW_TO_INSTALL}",
)
WALL = "20260101-120000"
SIZE = (64, 96)
CAMERAS = ("front", "wrist")
MIN_PSNR_DB = 30.0
COLUMNS = ("stamps_ns", "positions", "velocities", "effort", "commands", "actions", "sources")
COLUMNS += ("rewards", "terminated", "truncated", "wishes")


@pytest.fixture(scope="module", autouse=True)
def lerobot(tmp_path_factory):
    """LeRobot on one thread, with caches of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("huggingface")))
        import torch
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield SimpleNamespace(LeRobotDataset=LeRobotDataset, torch=torch)
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A policy's success, a demonstration that was cut, one that was discarded."""
    root = tmp_path_factory.mktemp("run") / "episodes"
    teleop = {"source": ControlSource.TELEOP, "episode": "demo-2"}
    kinds = [
        {"steps": 36, "outcome": Outcome.SUCCESS, "seed": 1},
        {"steps": 24, "outcome": Outcome.TRUNCATED, "seed": 2, **teleop},
        {"steps": 12, "outcome": Outcome.DISCARDED, "seed": 3, "episode": "bad-3"},
    ]
    for kind in kinds:
        rollout = make_rollout(cameras=CAMERAS, image_size=SIZE, **kind)
        if kind["seed"] == 1:
            facts = replace(rollout.facts, checkpoint="c0ffee", group=2, operator="me")
            rollout = with_facts(rollout, facts)
        path = root / f"{WALL}-{rollout.facts.id}"
        outcome = kind["outcome"]
        make_bag(directory=path, rollout=rollout, cameras=CAMERAS, outcome=outcome)
    store = EpisodeStore(root, min_free_bytes=0)
    label = LabelEvent(
        stamp_ns=5, episode="rollout-1", rater="me", outcome="failure", advantage=-1
    )
    store.add_label(replace(label, reasons=("dropped it",)))
    return store


def with_facts(rollout, facts):
    """Return a rollout whose episode events tell other facts."""
    messages = []
    for one in rollout.messages:
        if one.topic.name == "episode":
            status = one.message.status[0]
            for item in status.values:
                if item.key in ("checkpoint", "operator"):
                    item.value = getattr(facts, item.key)
                if item.key == "group":
                    item.value = str(facts.group)
        messages.append(one)
    return rollout._replace(messages=messages, facts=facts)


@pytest.fixture(scope="module")
def exported(store, tmp_path_factory):
    """The store as a LeRobotDataset, and what the exporter says about it."""
    directory = tmp_path_factory.mktemp("exported") / "dataset"
    report = export_episodes(store, store.episodes(), directory, repo_id="local/dataset")
    return directory, report


def load(lerobot, directory, **options):
    options = {"video_backend": "pyav", **options}
    return lerobot.LeRobotDataset("local/dataset", root=directory, **options)


def psnr_db(a, b):
    error = np.mean((np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)) ** 2)
    return 10 * np.log10(255.0**2 / max(error, 1e-12))


def take(directory, root, **values):
    store = EpisodeStore(root, min_free_bytes=0)
    try:
        source = open_source(directory)
        config = ImportConfig(**values)
        return store, import_episodes(source, source.episodes, store, config, wall_time=WALL)
    finally:
        store.close()


def numbers(directory):
    """Return every column of a dataset that is no index, over all of its episodes."""
    source = open_source(directory)
    names = [n for n, one in source.features.items() if one["dtype"] not in ("video", "image")]
    names = [n for n in names if not n.endswith("index")]
    parts = [read_columns(source, episode, names) for episode in source.episodes]
    return {n: np.concatenate([np.asarray(part[n]) for part in parts]) for n in names}


def test_what_was_left_out_is_named(exported):
    _, report = exported
    assert (report.episodes, report.frames, report.left_out) == (2, 60, 0)
    assert [(one.episode, one.reason) for one in report.skipped] == [("bad-3", "is discarded")]


def test_lerobots_own_loader_reads_the_export(lerobot, exported, store):
    directory, _ = exported
    horizon = [i / 30 for i in range(8)]
    dataset = load(lerobot, directory, delta_timestamps={ACTION: horizon})
    assert (dataset.num_episodes, len(dataset), dataset.fps) == (2, 60, 30)
    assert dataset.meta.robot_type == "so101_follower"
    assert dataset.features[ACTION]["names"] == [f"{joint}.pos" for joint in JOINTS]
    known = {name: read_episode(store.find(name).path) for name in ("rollout-1", "demo-2")}
    row = 0
    for index in range(2):
        episode = known.pop(dataset[row]["so101.episode"])
        columns = to_columns(episode)
        for at in (0, len(episode) // 2, len(episode) - 1):
            item = dataset[row + at]
            assert item["task"] == "pick up the cube"
            assert np.array_equal(item[STATE].numpy(), columns[STATE][at])
            left = min(8, len(episode) - at)
            assert np.array_equal(item[ACTION][:left].numpy(), columns[ACTION][at : at + left])
            assert item["action_is_pad"].tolist() == [False] * left + [True] * (8 - left)
            for name in ("next.reward", "next.done", "next.success", "is_intervention"):
                assert item[name].item() == columns[name][at, 0], name
            for name in ("control_source", "policy_id"):
                assert item[name] == columns[name][at]
            exact = item["so101.actions"].numpy()  # float64 in the file, float32 from this loader
            assert np.array_equal(exact, episode.actions[at].astype(np.float32))
            for camera in CAMERAS:
                pixels = item[f"observation.images.{camera}"].permute(1, 2, 0).numpy() * 255
                assert psnr_db(pixels, decode_image(episode.images[camera][at])) > MIN_PSNR_DB
        assert item["episode_index"].item() == index
        row += len(episode)


def test_statistics_are_json_that_everybody_reads(exported):
    directory, _ = exported

    def refuse(text):
        raise AssertionError(text)

    stats = json.loads((directory / "meta" / "stats.json").read_text(), parse_constant=refuse)
    assert {STATE, ACTION, "observation.images.front"} <= set(stats)


def test_lerobots_act_learns_from_the_export(lerobot, exported):
    from lerobot.configs import FeatureType
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.utils.feature_utils import dataset_to_policy_features

    torch = lerobot.torch
    directory, _ = exported
    dataset = load(lerobot, directory, delta_timestamps={ACTION: [i / 30 for i in range(8)]})
    known = dataset_to_policy_features(dataset.meta.features)
    outputs = {n: one for n, one in known.items() if one.type is FeatureType.ACTION}
    inputs = {n: one for n, one in known.items() if n not in outputs}
    assert set(outputs) == {ACTION}
    assert set(inputs) == {STATE, *(f"observation.images.{camera}" for camera in CAMERAS)}
    sizes = {"dim_model": 32, "n_heads": 2, "dim_feedforward": 64, "latent_dim": 8}
    sizes |= {"n_encoder_layers": 1, "n_vae_encoder_layers": 1, "chunk_size": 8}
    config = ACTConfig(
        input_features=inputs,
        output_features=outputs,
        n_action_steps=8,
        pretrained_backbone_weights=None,
        device="cpu",
        push_to_hub=False,
        **sizes,
    )
    torch.manual_seed(0)
    policy = ACTPolicy(config)
    prepare, _ = make_pre_post_processors(config, dataset_stats=dataset.meta.stats)
    loader = torch.utils.data.DataLoader(dataset, batch_size=2, shuffle=False)
    batch = prepare(next(iter(loader)))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    policy.train()
    losses = []
    for _ in range(10):
        loss, _ = policy.forward(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_bags_come_back_to_the_bit(exported, store, tmp_path):
    directory, _ = exported
    back, report = take(directory, tmp_path / "back")
    assert sorted(report.episodes) == ["demo-2", "rollout-1"]
    assert (report.frames, report.edited, report.ignored) == (60, {}, ())
    for name in report.episodes:
        before, after = (read_episode(one.find(name).path) for one in (store, back))
        for column in COLUMNS:
            a, b = getattr(before, column), getattr(after, column)
            assert (a is b is None) or np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), column
        assert np.array_equal(before.objects, after.objects)
        assert after.facts == before.facts
        assert after.outcome is before.outcome
        assert after.labels == before.labels
        assert back.labels(name) == store.labels(name)
        for camera in CAMERAS:
            pairs = zip(before.images[camera], after.images[camera], strict=True)
            assert min(psnr_db(*map(decode_image, pair)) for pair in pairs) > MIN_PSNR_DB


def test_without_our_own_file_the_steps_still_tell_who_they_are(exported, tmp_path):
    """LeRobot's tools, which take episodes out or merge datasets, keep the columns only."""
    directory = tmp_path / "edited"
    shutil.copytree(exported[0], directory)
    (directory / "meta" / "so101.json").unlink()
    back, report = take(directory, tmp_path / "back")
    assert sorted(report.episodes) == ["demo-2", "rollout-1"]
    facts = back.find("rollout-1").facts
    assert (facts.source, facts.checkpoint) == ("policy", "c0ffee")
    assert back.find("demo-2").facts.source == "teleop"


def test_a_dataset_comes_back_to_the_bit(exported, tmp_path):
    directory, _ = exported
    back, _ = take(directory, tmp_path / "back")
    again = tmp_path / "again"
    export_episodes(back, back.episodes(), again, repo_id="local/again", images="image")
    before, after = numbers(directory), numbers(again)
    assert set(before) == set(after)
    for name, values in before.items():
        is_float = values.dtype.kind == "f"
        assert np.array_equal(values, after[name], equal_nan=is_float), name


def test_png_images_are_the_recorded_ones(exported, store, tmp_path, lerobot):
    directory = tmp_path / "exact"
    entries = [store.find("demo-2")]
    export_episodes(store, entries, directory, repo_id="local/exact", images="image")
    item = load(lerobot, directory)[5]
    pixels = (item["observation.images.wrist"].permute(1, 2, 0).numpy() * 255).round()
    episode = read_episode(entries[0].path)
    assert np.array_equal(pixels, decode_image(episode.images["wrist"][5]))


def test_episodes_with_gaps_are_split_and_joined_by_nobody(tmp_path):
    rollout = make_rollout(steps=40, cameras=(), objects=0)
    lost = (START_NS + 500_000_000, START_NS + 580_000_000)
    rollout.messages[:] = [
        one
        for one in rollout.messages
        if not (one.topic is JOINT_STATES and lost[0] < one.stamp_ns < lost[1])
    ]
    store = EpisodeStore(tmp_path / "episodes", min_free_bytes=0)
    path = store.root / f"{WALL}-rollout-1"
    make_bag(directory=path, rollout=rollout, cameras=(), outcome=Outcome.SUCCESS)
    gaps = int(read_episode(path).is_gap.sum())
    assert gaps
    said = []
    report = export_episodes(
        store, store.episodes(), tmp_path / "ds", repo_id="local/ds", say=said.append
    )
    assert (report.episodes, report.left_out) == (2, gaps)
    assert said == [f"rollout-1: {40 - gaps} frames in 2 parts, {gaps} ticks at gaps left out"]
    back, taken = take(tmp_path / "ds", tmp_path / "back")
    assert taken.episodes == ["rollout-1.part1", "rollout-1.part2"]
    outcomes = [entry.outcome for entry in back.episodes()]
    assert outcomes == [Outcome.TRUNCATED, Outcome.SUCCESS]


def test_an_existing_directory_is_never_touched(store, tmp_path):
    directory = tmp_path / "mine"
    directory.mkdir()
    with pytest.raises(StoreError, match="exists already"):
        export_episodes(store, store.episodes(), directory, repo_id="local/mine")
    assert list(tmp_path.iterdir()) == [directory]
    assert not list(directory.iterdir())


def test_an_interrupted_export_leaves_nothing(store, tmp_path, monkeypatch):
    calls = []

    def interrupted(jpeg):
        calls.append(jpeg)
        if len(calls) == 50:
            raise KeyboardInterrupt
        return decode_image(jpeg)

    monkeypatch.setattr(lerobot_export, "decode_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_episodes(store, store.episodes(), tmp_path / "ds", repo_id="local/ds")
    assert not list(tmp_path.iterdir())


def test_a_store_with_nothing_to_export_says_why(store, tmp_path):
    with pytest.raises(BagError, match="bad-3: is discarded"):
        export_episodes(store, [store.find("bad-3")], tmp_path / "ds", repo_id="local/ds")
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_is_slower_than_the_bag_loses_no_frame(store, tmp_path, monkeypatch):
    """LeRobot's own encoder drops a frame that waits for 0.1 s."""
    import queue
    import time

    taken = queue.Queue.get

    def slow(self, *arguments, **options):
        time.sleep(0.11)
        return taken(self, *arguments, **options)

    monkeypatch.setattr(lerobot_format, "_QUEUE_BYTES", 1)  # as few frames as it may hold
    monkeypatch.setattr("lerobot.datasets.video_utils.queue.Queue.get", slow)
    report = export_episodes(store, [store.find("demo-2")], tmp_path / "ds", repo_id="local/ds")
    assert report.frames == 24


def test_a_video_that_lacks_a_frame_is_refused(store, tmp_path, monkeypatch):
    from lerobot.datasets.video_utils import StreamingVideoEncoder

    feed = StreamingVideoEncoder.feed_frame
    seen = []

    def lossy(self, key, image):
        seen.append(key)
        if len(seen) != 9:
            feed(self, key, image)

    monkeypatch.setattr(StreamingVideoEncoder, "feed_frame", lossy)
    with pytest.raises(StoreError, match=r"demo-2: observation.images.front: 23 of 24 frames"):
        export_episodes(store, [store.find("demo-2")], tmp_path / "ds", repo_id="local/ds")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def foreign(lerobot, tmp_path_factory):
    """Somebody else's dataset: another order of joints, one camera, no rewards, 20 frames/s."""
    root = tmp_path_factory.mktemp("foreign") / "stack cups"
    names = [f"{joint}.pos" for joint in reversed(JOINTS)]
    joints = {"dtype": "float32", "shape": (6,), "names": names}
    image = {"dtype": "video", "shape": (*SIZE, 3), "names": ["height", "width", "channels"]}
    features = {STATE: joints, ACTION: joints, "observation.images.top": image}
    features["observation.effort"] = {"dtype": "float32", "shape": (6,), "names": names}
    dataset = lerobot.LeRobotDataset.create(
        "somebody/cups", 20, features, root=root, use_videos=True, streaming_encoding=True
    )
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(0, 1, (40, 6)), axis=0).astype(np.float32) + 20
    for i in range(40):
        pixels = np.full((*SIZE, 3), 5 * i, dtype=np.uint8)
        frame = {STATE: values[i], ACTION: values[i] + 1, "observation.images.top": pixels}
        dataset.add_frame({**frame, "observation.effort": values[i], "task": "stack the cups"})
    dataset.save_episode()
    dataset.finalize()
    return root, values


def test_somebody_elses_dataset_becomes_a_demonstration(foreign, tmp_path):
    root, values = foreign
    cameras = {"front": "observation.images.top"}
    store, report = take(root, tmp_path / "back", units="degrees", cameras=cameras)
    assert report.ignored == ("observation.effort",)
    assert report.notes(open_source(root))[0].startswith("20 frames/s: every frame keeps its time")
    (entry,) = store.episodes()
    assert entry.facts.id == "stack-cups-000000"
    assert entry.facts.task == "stack the cups"
    assert entry.outcome is None
    assert entry.is_demonstration
    episode = read_episode(entry.path)
    assert list(episode.images) == ["front"]
    assert np.isnan(episode.velocities).all()
    assert (to_columns(episode)[STATE][0] == values[0, ::-1]).all()
    assert psnr_db(decode_image(episode.images["front"][0]), np.zeros((*SIZE, 3))) > MIN_PSNR_DB
    again = take(root, tmp_path / "back", units="degrees", cameras=cameras)[1]
    assert "has an episode 'stack-cups-000000' already" in again.skipped[0].reason


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({}, BagError, r"degrees or -100..100\? say --units degrees"),
        ({"units": "normalized"}, ConfigError, "belong together"),
        ({"units": "degrees", "cameras": {"a": "b"}}, BagError, r"no images 'b'; it has obs.*top"),
        ({"units": "degrees", "cameras": {"a/b": "top"}}, BagError, "cannot be a topic"),
    ],
)
def test_what_nobody_said_is_not_guessed(foreign, tmp_path, values, error, message):
    with pytest.raises(error, match=message):
        take(foreign[0], tmp_path / "back", **values)
    assert not (tmp_path / "back").exists()


def test_normalized_values_need_the_arms_calibration(foreign, tmp_path):
    root, values = foreign
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(make_calibration()))
    store, _ = take(root, tmp_path / "back", units="normalized", calibration=str(path))
    found = read_episode(store.episodes()[0].path).positions[0, :5]
    half_range = 1000 * 2 * np.pi / 4095
    assert found == pytest.approx(values[0, ::-1][:5] / 100 * half_range)


def test_the_command_line_goes_both_ways(store, tmp_path, capsys):
    dataset, run = tmp_path / "ds", tmp_path / "run"
    arguments = ["--store", str(store.root), "--to", str(dataset), "--episodes", "2"]
    assert main(["export-lerobot", *arguments]) == 0
    out = capsys.readouterr().out
    assert "demo-2: 24 frames" in out
    assert f"{dataset}: 1 episodes, 24 frames" in out
    assert main(["export-lerobot", *arguments]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["import-lerobot", "--from", str(dataset), "--store", str(run)]) == 0
    assert f"{run / 'episodes'}: 1 episodes" in capsys.readouterr().out
    assert main(["episodes", "show", "1", "--store", str(run)]) == 0
    assert "steps        24" in capsys.readouterr().out
    assert main(["import-lerobot", "--from", str(tmp_path), "--store", str(run)]) == 2
    assert "no LeRobotDataset" in capsys.readouterr().err


def test_the_export_says_where_it_comes_from(exported):
    directory, _ = exported
    told = json.loads((Path(directory) / "meta" / "so101.json").read_text())
    facts = told["episodes"]["rollout-1"]
    assert facts["facts"]["checkpoint"] == "c0ffee"
    assert facts["outcome"] == "failure"  # what was said later
    assert facts["recorded_outcome"] == "success"
    assert facts["labels"][0]["reasons"] == ["dropped it"]
