"""Numbers per tick that came late: kept, replaced, aligned, or refused by name."""

import json
from dataclasses import replace

import numpy as np
import pytest
from factories import make_bag
from hypothesis import given
from hypothesis import strategies as st

from so101.clock import POLICY_GRID
from so101.data.episodes.episode_reader import read_episode
from so101.data.labels.labels import FILE_NAME, append_label, read_labels
from so101.data.labels.value_series import (
    MAX_REPLACED,
    ValueSeries,
    align_series,
    put_series,
    read_series,
)
from so101.data.stores.episode_store import EpisodeStore
from so101.errors import BagError, StoreError
from so101.events import LabelEvent

FIRST = 1_700_000_000 * 30
GRID = np.array([POLICY_GRID.stamp(FIRST + i) for i in range(12)], dtype=np.int64)
SPAN = (int(GRID[0]), int(GRID[-1]) + 1)


def series(ticks=GRID, values=None, *, name="advantage", rater="gae", stamp_ns=1, episode="e"):
    values = np.arange(float(len(ticks))) if values is None else values
    return ValueSeries(
        stamp_ns=stamp_ns, episode=episode, name=name, rater=rater, ticks_ns=ticks, values=values
    )


@pytest.fixture
def store(tmp_path):
    make_bag(directory=tmp_path / "store" / "20260102-030405-e", cameras=(), steps=12, episode="e")
    return EpisodeStore(tmp_path / "store")


def same(one, other):
    return (
        one.key == other.key
        and one.stamp_ns == other.stamp_ns
        and np.array_equal(one.ticks_ns, other.ticks_ns)
        and np.array_equal(one.values, other.values)
    )


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(values=st.lists(numbers, max_size=12))
def test_numbers_survive_the_file_bit_by_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("e")
    put_series(path, series(GRID[: len(values)], np.array(values)))
    (found,) = read_series(path)
    assert found.values.tobytes() == np.array(values).tobytes()
    assert found.ticks_ns.tolist() == GRID[: len(values)].tolist()


def test_a_later_series_replaces_only_its_own_kind(tmp_path):
    others = [series(name="value"), series(rater="ada"), series(episode="f")]
    for one in (series(), *others):
        put_series(tmp_path, one)
    put_series(tmp_path, series(GRID[:2], np.array([7.0, 8.0]), stamp_ns=9))
    found = read_series(tmp_path)
    assert all(same(a, b) for a, b in zip(found[:3], others, strict=True))
    assert (found[3].values.tolist(), found[3].replaced_ns) == ([7.0, 8.0], (1,))


def test_what_is_known_of_earlier_ones_stays_bounded(tmp_path):
    for stamp in range(MAX_REPLACED + 9):
        put_series(tmp_path, series(GRID[:1], np.ones(1), stamp_ns=stamp))
    (found,) = read_series(tmp_path)
    assert found.replaced_ns == (*range(8, MAX_REPLACED + 8),)


def test_labels_and_numbers_do_not_touch_each_other(tmp_path):
    label = LabelEvent(stamp_ns=1, episode="e", rater="ada", outcome="success", note="fine")
    append_label(tmp_path, label)
    put_series(tmp_path, series())
    append_label(tmp_path, replace(label, outcome="failure"))
    assert [one.outcome for one in read_labels(tmp_path)] == ["success", "failure"]
    assert same(read_series(tmp_path)[0], series())


@pytest.mark.parametrize("indent", [None, 0, 1, 2])
@pytest.mark.parametrize("is_first", [True, False])
def test_labels_are_found_however_somebody_lays_the_file_out(tmp_path, indent, is_first):
    label = LabelEvent(
        stamp_ns=1, episode="e", rater="ada", outcome="success", note='\n "values": ['
    )
    append_label(tmp_path, label)
    put_series(tmp_path, series())
    assert read_labels(tmp_path) == (label,)
    content = json.loads((tmp_path / FILE_NAME).read_text())
    extra = {"songs": {"values": [1], "labels": []}}
    keys = ("values", "labels") if is_first else ("labels", "values")
    told = {"schema_version": 2, **extra, **{key: content[key] for key in keys}}
    (tmp_path / FILE_NAME).write_text(json.dumps(told, indent=indent))
    assert read_labels(tmp_path) == (label,)
    assert same(read_series(tmp_path)[0], series())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (series(values=np.full(12, np.nan)), "values 'advantage' of e: nan at 17.* is not finite"),
        (series(values=np.full(12, np.inf)), "inf at 17.* is not finite"),
        (series(values=np.zeros(11)), r"int64 ticks \(12,\) and values \(11,\)"),
        (series(ticks=GRID.astype(np.float64)), "float64 ticks"),
        (series(ticks=GRID[::-1]), "not ascending"),
        (series(ticks=np.repeat(GRID[:6], 2)), "not ascending"),
        (series(name=""), "a name has 1 to 64"),
        (series(name="x\ny"), "a name has 1 to 64"),
        (series(rater=""), "rater ''"),
    ],
)
def test_what_is_no_series_is_refused_and_nothing_is_written(tmp_path, wrong, message):
    with pytest.raises(StoreError, match=message):
        put_series(tmp_path, wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"values": [0.0]},
        {"values": ["x"] * 12},
        {"values": [float("nan")] * 12},
        {"ticks_ns": [0.5] * 12},
        {"ticks_ns": [2**70] * 12},
        {"ticks_ns": None},
        {"name": "x y"},
    ],
)
def test_a_broken_series_in_the_file_is_named(tmp_path, change):
    put_series(tmp_path, series())
    content = json.loads((tmp_path / FILE_NAME).read_text())
    content["values"][0] |= change
    (tmp_path / FILE_NAME).write_text(json.dumps(content))
    with pytest.raises(BagError, match=r"labels\.json: broken values"):
        read_series(tmp_path)


class TestAlignment:
    @given(
        chosen=st.sets(st.integers(0, 11)), kept=st.tuples(st.integers(0, 6), st.integers(7, 12))
    )
    def test_every_number_stands_at_its_tick_and_nan_elsewhere(self, chosen, kept):
        places = sorted(chosen)
        given_ = series(GRID[places], np.array(places, dtype=np.float64))
        stamps = GRID[slice(*kept)]
        found = align_series([given_], stamps, SPAN)
        expected = [float(i) if i in chosen else np.nan for i in range(*kept)]
        assert found.keys() == ({"advantage"} if chosen else set())
        if chosen:
            np.testing.assert_array_equal(found["advantage"], expected)

    def test_of_several_raters_the_one_who_spoke_last_counts_as_a_whole(self):
        first, last = series(rater="ada"), series(GRID[:1], np.array([5.0]), rater="bob")
        found = align_series([first, last], GRID, SPAN)["advantage"]
        np.testing.assert_array_equal(found, [5.0, *[np.nan] * 11])
        empty = series(GRID[:0], rater="bob")
        np.testing.assert_array_equal(
            align_series([first, empty], GRID, SPAN)["advantage"], first.values
        )

    @pytest.mark.parametrize(
        "ticks", [GRID + 1, GRID - 400_000_000, np.array([GRID[-1] + 33_333_334])]
    )
    def test_a_tick_of_another_episode_is_refused_by_name(self, ticks):
        with pytest.raises(BagError, match=f"values 'advantage' of gae: {ticks[-1]}|{ticks[0]}"):
            align_series([series(ticks)], GRID, SPAN)


class TestStore:
    def test_the_reader_gives_them_by_tick(self, store):
        ticks = read_episode(store.find("e").path).stamps_ns
        assert read_episode(store.find("e").path).values == {}
        store.add_values(series(ticks[3:5], np.array([0.25, -1.0])))
        store.add_values(series(ticks, name="value"))
        found = read_episode(store.find("e").path).values
        assert [*found] == ["advantage", "value"]
        expected = np.full(len(ticks), np.nan)
        expected[3:5] = 0.25, -1.0
        np.testing.assert_array_equal(found["advantage"], expected)
        assert [one.name for one in store.values("e")] == ["advantage", "value"]

    def test_an_empty_series_takes_them_back(self, store):
        ticks = read_episode(store.find("e").path).stamps_ns
        store.add_values(series(ticks))
        store.add_values(series(ticks[:0], stamp_ns=7))
        assert read_episode(store.find("e").path).values == {}
        assert [one.replaced_ns for one in store.values("e")] == [(1,)]

    def test_foreign_ticks_are_refused_before_they_are_written(self, store):
        with pytest.raises(
            BagError, match=r"e: values 'advantage' of gae: 17.* is not one of its"
        ):
            store.add_values(series())
        with pytest.raises(StoreError, match="0 episodes are called 'f'"):
            store.add_values(series(episode="f"))
        assert not (store.find("e").path / FILE_NAME).exists()

    def test_foreign_ticks_in_the_file_are_refused_by_the_reader(self, store):
        path = store.find("e").path
        put_series(path, series())
        with pytest.raises(BagError, match=f"{path}: episode e: values 'advantage' of gae: 17"):
            read_episode(path)
