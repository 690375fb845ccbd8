"""Random access, returns, and data loaders: what training sees is what the bags say."""

import multiprocessing
import operator
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import make_bag, make_episode
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.action import ActionSpace
from so101.data.episodes.episode_reader import read_episode
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.data.training.trimming import TrimConfig
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101.errors import BagError, ConfigError
from so101.images import decode_image
from so101.spec import PolicySpec

CAMERAS = ("front", "wrist")
SPEC = PolicySpec(
    cameras=CAMERAS,
    image_size=(12, 16),
    uses_objects=True,
    action_space=ActionSpace(horizon=5, execute_steps=2),
)
STATE = PolicySpec()
LAZY = DatasetConfig(trim=TrimConfig(mode="off"), images="lazy", gamma=0.9)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("episodes")
    for number, outcome in enumerate([Outcome.SUCCESS, Outcome.TRUNCATED]):
        make_bag(
            directory=root / f"20260102-03040{number}-e{number}",
            cameras=CAMERAS,
            image_size=(48, 64),
            steps=12 + number,
            seed=number,
            episode=f"e{number}",
            outcome=outcome,
        )
    return EpisodeStore(root)


def test_every_tick_of_every_episode_is_what_the_bag_says(store):
    data = EpisodeDataset.from_store(store, SPEC, LAZY)
    seen = 0
    for number, entry in enumerate(store.episodes()):
        episode = read_episode(entry.path)
        for tick in range(len(episode)):
            step = data.step(episode.facts.id, tick)
            assert step == data.step(number, tick) == seen
            sample = data[step]
            assert (sample["episode"], sample["tick"]) == (number, tick)
            for name in ("positions", "velocities", "effort", "commands", "objects"):
                expected = getattr(episode, name)[tick].astype(np.float32)
                np.testing.assert_array_equal(sample[name], expected)
            for camera in CAMERAS:
                picture = decode_image(episode.images[camera][tick], (12, 16))
                np.testing.assert_array_equal(sample[f"image.{camera}"], picture)
                assert sample[f"image_mask.{camera}"]
            ahead = np.minimum(tick + np.arange(5), len(episode) - 1)
            np.testing.assert_array_equal(
                sample["actions"], episode.actions[ahead].astype(np.float32)
            )
            assert sample["action_mask"].tolist() == [tick + k < len(episode) for k in range(5)]
            assert sample["reward"] == np.float32(episode.rewards[tick])
            assert sample["terminated"] == episode.terminated[tick]
            assert sample["truncated"] == episode.truncated[tick]
            assert sample["is_first"] == (tick == 0)
            assert sample["source"] == episode.sources[tick]
            seen += 1
        with pytest.raises(ConfigError, match="no tick"):
            data.step(number, len(episode))
    assert seen == len(data)
    with pytest.raises(ConfigError, match="no episode 'other'"):
        data.step("other", 0)
    for index in (-1, len(data)):
        with pytest.raises(IndexError):
            data[index]


def test_gaps_and_idle_ticks_have_no_sample_and_are_told_apart_from_their_neighbours():
    episode = make_episode(steps=60, idle=[(20, 40)])
    positions = episode.positions.copy()
    positions[5] = np.nan
    data = EpisodeDataset.from_episodes([replace(episode, positions=positions)], STATE)
    left_out = {5, *range(18, 31)}  # as test_dataset derives them
    for tick in range(60):
        if tick in left_out:
            with pytest.raises(ConfigError, match=f"tick {tick} is a gap, idle"):
                data.step("episode-0", tick)
        else:
            sample = data[data.step("episode-0", tick)]
            assert sample["tick"] == tick
            np.testing.assert_allclose(sample["positions"], episode.positions[tick], rtol=1e-6)
    before = data[data.step(0, 4)]
    assert before["truncated"]
    assert before["action_mask"].tolist() == [True] + [False] * 15


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=4),
    st.floats(0.0, 1.0),
    st.sets(st.integers(0, 8), max_size=2),
)
def test_returns_are_what_was_earned_until_the_end(lengths, gamma, ends):
    episodes = []
    for seed, (steps, is_cut) in enumerate(lengths):
        outcome = Outcome.TRUNCATED if is_cut else Outcome.FAILURE
        episode = make_episode(steps=steps, seed=seed, outcome=outcome)
        terminated = episode.terminated | np.isin(np.arange(steps), sorted(ends))
        rewards = np.random.default_rng(seed).normal(size=steps)
        episodes.append(replace(episode, rewards=rewards, terminated=terminated))
    data = EpisodeDataset.from_episodes(episodes, STATE, LAZY)
    found = data.returns(gamma)
    for number, episode in enumerate(episodes):
        for tick in range(len(episode)):
            later = range(tick, len(episode))
            over = next((k for k in later if episode.terminated[k]), None)
            last = len(episode) - 1 if over is None else over
            total = sum(gamma ** (k - tick) * episode.rewards[k] for k in range(tick, last + 1))
            step = data.step(number, tick)
            assert found.rewards[step] == pytest.approx(total, abs=1e-9)
            rest = gamma ** (last + 1 - tick) if over is None else 0.0
            assert found.discount[step] == pytest.approx(rest, abs=1e-12)


def test_returns_agree_with_transitions_that_reach_the_end():
    data = EpisodeDataset.from_episodes(
        [make_episode(seed=0), make_episode(seed=1, outcome=Outcome.TRUNCATED)], STATE, LAZY
    )
    steps = np.arange(len(data))
    batch, found = data.transitions_at(steps, 100, 0.95), data.returns(0.95)
    np.testing.assert_allclose(batch.reward, found.rewards, rtol=1e-5)
    np.testing.assert_allclose(batch.discount, found.discount, rtol=1e-5)


def test_a_cleared_gap_costs_no_reward():
    """The reward of a gap goes to the step before it; the return reaches over the gap."""
    episode = make_episode(steps=10)
    positions = episode.positions.copy()
    positions[[4, 9]] = np.nan
    data = EpisodeDataset.from_episodes([replace(episode, positions=positions)], STATE, LAZY)
    assert data.returns(1.0).rewards.tolist() == [1.0] * 8
    assert data.returns(1.0).discount.tolist() == [0.0] * 8


def test_late_numbers_are_columns_with_holes():
    values = np.arange(40.0)
    data = EpisodeDataset.from_episodes(
        [make_episode(seed=0), replace(make_episode(seed=1), values={"advantage": values})],
        STATE,
        LAZY,
    )
    batch = data[np.array([0, 45])]
    assert np.isnan(batch["value.advantage"][0])
    assert batch["value.advantage"][1] == 5.0


def test_a_batch_is_its_samples_stacked(store):
    data = EpisodeDataset.from_store(store, SPEC, LAZY)
    steps = np.array([3, 20, 3, 11])
    batch, singles = data[steps], data.__getitems__(steps.tolist())
    for row, sample in enumerate(singles):
        assert sample.keys() == batch.keys() == data[int(steps[row])].keys()
        for name, array in sample.items():
            np.testing.assert_array_equal(array, batch[name][row])
    chunk = data.chunks_at(steps)
    np.testing.assert_array_equal(batch["actions"], chunk.actions)
    np.testing.assert_array_equal(batch["image.front"], chunk.observation.images["front"])


def test_a_dataset_grows_and_steps_keep_their_numbers(store, tmp_path):
    first, second = store.episodes()
    for config in (LAZY, replace(LAZY, images="cache", cache_dir=str(tmp_path))):
        data = EpisodeDataset.from_store(store, SPEC, config, only=[first.facts.id])
        grown = data.extended_with([second])
        whole = EpisodeDataset.from_store(store, SPEC, config)
        assert grown.episodes == whole.episodes
        assert len(data) < len(grown)
        steps = np.arange(len(whole))
        for name, array in whole[steps].items():
            np.testing.assert_array_equal(grown[steps][name], array)
        with pytest.raises(ConfigError, match="holds already e1"):
            grown.extended_with([second])
        broken = replace(second, problem="is broken")
        assert grown.extended_with([broken]).skipped[-1].reason == "is broken"
        with pytest.raises(ConfigError, match="holds already e0"):
            grown.extended_with(episodes=[read_episode(first.path)])


def test_a_pickled_dataset_opens_its_files_again(store, tmp_path):
    for config in (LAZY, replace(LAZY, images="cache", cache_dir=str(tmp_path))):
        data = EpisodeDataset.from_store(store, SPEC, config)
        data[0]
        pickled = pickle.dumps(data)
        assert len(pickled) < 60_000  # no picture travels
        again = pickle.loads(pickled)
        for name, array in data[np.arange(5)].items():
            np.testing.assert_array_equal(again[np.arange(5)][name], array)


def test_a_bag_that_changes_under_a_dataset_is_noticed(tmp_path):
    path = make_bag(directory=tmp_path / "bag", outcome=Outcome.SUCCESS, cameras=CAMERAS)
    data = EpisodeDataset.from_store(EpisodeStore(path), SPEC, LAZY)
    file = next(path.glob("*.mcap"))
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(BagError, match="changed since the dataset was opened"):
        data[0]
    file.unlink()
    with pytest.raises(BagError, match=r"rollout-1: front camera: .*cannot be read"):
        data[1]


# other tests of the process may have left threads behind; the workers use none of them
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("images", ["memory", "lazy", "cache"])
def test_torchs_loader_takes_it_with_and_without_workers(store, tmp_path, images):
    data_module = pytest.importorskip("torch.utils.data")
    config = replace(LAZY, images=images, cache_dir=str(tmp_path))
    data = EpisodeDataset.from_store(store, SPEC, config)
    expected = [data[np.arange(at, min(at + 4, len(data)))] for at in range(0, len(data), 4)]
    for workers in (0, 2):
        context = multiprocessing.get_context("fork") if workers else None
        loader = data_module.DataLoader(
            data, batch_size=4, num_workers=workers, multiprocessing_context=context
        )
        batches = list(loader)
        assert len(batches) == len(expected)
        for batch, plain in zip(batches, expected, strict=True):
            assert batch.keys() == plain.keys()
            for name, tensor in batch.items():
                assert tensor.numpy().dtype == plain[name].dtype
                np.testing.assert_array_equal(tensor.numpy(), plain[name])


def test_a_process_that_was_not_forked_opens_the_files_itself(store, tmp_path):
    for config in (LAZY, replace(LAZY, images="cache", cache_dir=str(tmp_path))):
        data = EpisodeDataset.from_store(store, SPEC, config)
        steps = np.arange(len(data))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(operator.getitem, (data, steps))
        for name, array in data[steps].items():
            np.testing.assert_array_equal(found[name], array)


def test_a_sampler_of_whole_batches_needs_no_collation(store):
    data_module = pytest.importorskip("torch.utils.data")
    data = EpisodeDataset.from_store(store, SPEC, LAZY)
    rng = np.random.default_rng(4)
    drawn = [data.draw(rng, 6) for _ in range(5)]
    loader = data_module.DataLoader(data, sampler=drawn, batch_size=None)
    for steps, batch in zip(drawn, loader, strict=True):
        np.testing.assert_array_equal(batch["image.wrist"].numpy(), data[steps]["image.wrist"])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_guides_examples_run(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    guide = Path(__file__).parents[3] / "docs" / "guides" / "training_from_bags.md"
    blocks = re.findall(r"^```python\n(.*?)^```", guide.read_text(encoding="utf-8"), re.S | re.M)
    monkeypatch.chdir(tmp_path)
    make_bag(
        directory=tmp_path / "episodes" / "20260102-030405-a",
        cameras=CAMERAS,
        steps=60,
        outcome=Outcome.SUCCESS,
    )
    names: dict[str, object] = {}
    for block in blocks[:2]:
        exec(block, names)
    assert names["clips"].actions.shape == (16, 50, 6)
    assert names["batch"]["image.front"].shape[1:] == (224, 224, 3)
    shown = make_episode()
    facts = replace(shown.facts, phase="demonstrations")
    sources = np.full(len(shown), SOURCE_CODES[ControlSource.TELEOP])
    shown = replace(shown, facts=facts, sources=sources)
    names |= {"data": EpisodeDataset.from_episodes([shown], STATE), "errors": np.ones(256)}
    exec(blocks[2], names)
    assert names["batch"].is_intervention.all()
    assert names["weight"].tolist() == [1.0] * 256
