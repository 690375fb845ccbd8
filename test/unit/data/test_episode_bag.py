"""Values to a bag and back through the reader: to the bit on the policy's grid."""

from dataclasses import replace

import numpy as np
import pytest
from factories import make_episode

from so101.clock import NS_PER_S, POLICY_GRID, TickGrid
from so101.data.episodes.episode_reader import read_episode
from so101.data.exchange.episode_bag import write_episode
from so101.data.exchange.lerobot_values import Taken
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.verification import verify_bag
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101.errors import BagError, StoreError

WALL = "20260101-120000"
COLUMNS = ("stamps_ns", "positions", "velocities", "effort", "commands", "actions", "sources")
COLUMNS += ("rewards", "terminated", "truncated", "objects", "wishes")


@pytest.fixture
def store(tmp_path):
    store = EpisodeStore(tmp_path / "episodes", min_free_bytes=0)
    yield store
    store.close()


def write(store, episode, *, period_ns=NS_PER_S // 30, has_rewards=True, custom=()):
    taken = Taken(episode=episode, period_ns=period_ns, has_rewards=has_rewards)
    images = {camera: iter(jpegs) for camera, jpegs in episode.images.items()}
    return write_episode(store, taken, images, WALL, dict(custom))


def differing(a, b):
    names = []
    for name in COLUMNS:
        x, y = getattr(a, name), getattr(b, name)
        equal = x is y or (x is not None and y is not None and np.allclose(x, y, 0, 0, True))
        names += [] if equal else [name]
    return names


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED])
@pytest.mark.parametrize("cameras", [(), ("front", "wrist")])
def test_what_is_written_is_read(store, outcome, cameras):
    episode = make_episode(outcome=outcome, cameras=cameras, objects=2)
    rng = np.random.default_rng(2)
    wishes = np.where(rng.random((len(episode), 1)) < 0.5, np.nan, episode.actions + 0.1)
    sources = rng.choice([SOURCE_CODES[s] for s in ControlSource], len(episode))
    episode = replace(
        episode, wishes=wishes, sources=sources, rewards=rng.normal(size=len(episode))
    )
    entry = write(store, episode, custom={"operator_note": "a note"}.items())
    found = read_episode(entry.path)
    assert differing(found, episode) == []
    assert found.facts == episode.facts
    assert found.outcome is outcome
    assert found.images == episode.images
    assert not found.is_gap.any()
    assert entry.custom_data["operator_note"] == "a note"
    assert verify_bag(entry).problems == ()


def test_a_goal_that_the_arm_did_not_have_yet_is_its_position(store):
    episode = make_episode()
    first = episode.commands.copy()
    first[0] = episode.positions[0]
    episode = replace(episode, commands=first)
    found = read_episode(write(store, episode).path)
    assert differing(found, replace(episode, wishes=None)) == []


def test_what_nobody_knows_stays_unknown(store):
    episode = make_episode(objects=0)
    unknown = np.full_like(episode.positions, np.nan)
    commands = np.concatenate([unknown[:1], episode.actions[:-1]])
    episode = replace(
        episode,
        velocities=unknown,
        effort=unknown,
        commands=commands,
        outcome=None,
        rewards=np.zeros(len(episode)),
        terminated=np.zeros(len(episode), dtype=np.bool_),
        truncated=np.arange(len(episode)) == len(episode) - 1,
        facts=replace(episode.facts, source="teleop"),
    )
    entry = write(store, episode, has_rewards=False)
    found = read_episode(entry.path)
    commands[0] = episode.positions[0]  # before the first goal an arm holds where it is
    assert differing(found, replace(episode, commands=commands)) == []
    assert found.outcome is None
    assert entry.outcome is None
    assert entry.is_demonstration
    assert "reward" not in [t for t, n in entry.custom_data.items() if n]


@pytest.mark.parametrize("fps", [20, 25, 50, 60])
def test_at_another_rate_the_reader_takes_the_newest_step_at_every_tick(store, fps):
    grid = TickGrid(rate_hz=fps, origin_ns=NS_PER_S)
    episode = make_episode(steps=2 * fps, cameras=("front",), objects=0)
    stamps = np.array([grid.stamp(i) for i in range(2 * fps)], dtype=np.int64)
    commands = np.concatenate([np.full((1, 6), np.nan), episode.actions[:-1]])
    episode = replace(episode, stamps_ns=stamps, commands=commands)
    found = read_episode(write(store, episode, period_ns=NS_PER_S // fps).path)
    assert len(found) == 60
    assert not found.is_gap.any()
    ticks = [POLICY_GRID.stamp(30 + i) for i in range(60)]
    assert found.stamps_ns.tolist() == ticks
    newest = np.searchsorted(stamps, ticks, side="right") - 1
    assert np.array_equal(found.positions, episode.positions[newest])
    assert found.images["front"] == tuple(episode.images["front"][i] for i in newest)
    # The goal in force one tick later was asked for before it.
    due = np.searchsorted(stamps, np.array(ticks) + NS_PER_S // 30 + 1, side="right") - 2
    late = np.abs(found.actions[:-1] - episode.actions[np.clip(due, 0, None)][:-1]).max(axis=1)
    step = np.abs(np.diff(episode.actions, axis=0)).max()
    assert (late <= step + 1e-9).all()


def test_nothing_stays_of_an_episode_whose_images_end_early(store):
    episode = make_episode(cameras=("front",))

    def jpegs():
        yield from episode.images["front"][:3]
        raise BagError("front: no frame at 0.1 s")

    taken = Taken(episode=episode, period_ns=NS_PER_S // 30, has_rewards=True)
    with pytest.raises(BagError, match="no frame"):
        write_episode(store, taken, {"front": jpegs()}, WALL, {})
    assert store.episodes() == []
    assert not list(store.root.glob("*.part"))


def test_an_episode_is_never_written_twice(store):
    write(store, make_episode())
    with pytest.raises(StoreError, match="exists already"):
        write(store, make_episode())
