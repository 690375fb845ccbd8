"""The picture of an episode: what is in it, for every kind of episode there is."""

import io
import warnings
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from factories import make_bag, make_episode
from matplotlib.colors import to_hex

from so101.data.episodes.episode_reader import read_episode
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101.errors import StoreError
from so101.events import LabelEvent
from so101.robot import JOINTS
from so101_bringup.sheet.frames import camera_frames
from so101_bringup.sheet.look import DPI, REWARD, SOURCES, WIDTH_IN
from so101_bringup.sheet.sheet import draw_sheet, sheet_png, write_sheet

TELEOP, POLICY = (SOURCE_CODES[s] for s in (ControlSource.TELEOP, ControlSource.POLICY))


@pytest.fixture
def entry(tmp_path):
    bag = make_bag(directory=tmp_path / "20260102-030405-rollout-1", cameras=(), steps=4)
    (found,) = EpisodeStore(bag).episodes()
    return found


def texts(figure):
    """Everything that is written on a page."""
    found = [text.get_text() for text in figure.texts]
    found += [text.get_text() for axes in figure.axes for text in axes.texts]
    return found + [t.get_text() for legend in figure.legends for t in legend.get_texts()]


def panels(figure):
    """The panels with a time axis, the band of sources first."""
    return [axes for axes in figure.axes if not axes.images and len(axes.lines) > 0]


def shades(axes, colour):
    """The (first, past) times that are shaded in a colour [s]."""
    return [
        (patch.get_x(), patch.get_x() + patch.get_width())
        for patch in axes.patches
        if to_hex(patch.get_facecolor()) == colour and patch.get_x() != 0.0
    ]


def hatched(axes):
    return [
        (round(p.get_x(), 4), round(p.get_x() + p.get_width(), 4))
        for p in axes.patches
        if p.get_hatch()
    ]


def intervened(steps=60):
    """An episode in which a person took over for a second, and a stream was missing later."""
    episode = make_episode(steps=steps, cameras=("front",))
    sources = np.full(steps, POLICY)
    sources[15:45] = TELEOP
    wishes = np.full(episode.positions.shape, np.nan)
    wishes[15:45] = episode.commands[15:45] + 0.3
    is_gap = np.zeros(steps, dtype=np.bool_)
    is_gap[48:51] = True
    positions = episode.positions.copy()
    positions[48:51] = np.nan
    return replace(episode, sources=sources, wishes=wishes, is_gap=is_gap, positions=positions)


class TestContent:
    def test_six_joints_as_measured_and_commanded(self, entry):
        episode = make_episode(steps=60)
        figure = draw_sheet(episode, entry)
        band, *joints = panels(figure)
        assert [f"{name} [rad]" for name in JOINTS] == [
            text for text in texts(figure) if text.endswith("[rad]")
        ]
        for joint, axes in enumerate(joints):
            commanded, measured, *_ = axes.lines
            np.testing.assert_array_equal(commanded.get_ydata(), episode.commands[:, joint])
            np.testing.assert_array_equal(measured.get_ydata(), episode.positions[:, joint])
            assert measured.get_xdata()[[0, 30]].tolist() == [0.0, 1.0]
        assert band.texts[0].get_text() == "policy"

    def test_interventions_are_shaded_wishes_drawn_and_gaps_hatched(self, entry):
        episode = intervened()
        figure = draw_sheet(episode, entry)
        said = texts(figure)
        assert {"intervention", "wish", "gap", "reward"} <= {*said}
        band, *joints = panels(figure)
        assert [text.get_text() for text in band.texts] == [
            "policy",
            "teleop",
            "policy",
            "terminated",
        ]
        for joint, axes in enumerate(joints):
            assert shades(axes, SOURCES[ControlSource.TELEOP]) == [(0.5, 1.5)]
            assert hatched(axes) == [(1.6, 1.7)]
            np.testing.assert_array_equal(axes.lines[2].get_ydata(), episode.wishes[:, joint])
            assert np.isnan(axes.lines[1].get_ydata()[48:51]).all()

    def test_who_showed_the_task_throughout_did_not_intervene(self, entry):
        episode = replace(make_episode(steps=60), sources=np.full(60, TELEOP))
        figure = draw_sheet(episode, entry)
        assert "intervention" not in texts(figure)
        assert not any(shades(axes, SOURCES[ControlSource.TELEOP]) for axes in panels(figure)[1:])

    def test_nothing_is_in_the_legend_that_is_not_in_the_picture(self, entry):
        episode = make_episode(steps=60, outcome=Outcome.TRUNCATED)
        figure = draw_sheet(episode, entry)
        assert [t.get_text() for t in figure.legends[0].get_texts()] == ["measured", "commanded"]
        assert "truncated" in texts(figure) and "terminated" not in texts(figure)

    def test_a_reward_is_marked_in_every_panel(self, entry):
        figure = draw_sheet(make_episode(steps=60), entry)
        for axes in panels(figure)[1:]:
            marks = [line for line in axes.lines if to_hex(line.get_color()) == REWARD]
            assert [line.get_xdata()[0] for line in marks] == [pytest.approx(59 / 30)]

    def test_many_rewards_and_late_numbers_have_panels_of_their_own(self, entry):
        episode = make_episode(steps=60)
        advantage = np.where(np.arange(60) < 5, np.nan, 0.5)
        episode = replace(episode, rewards=np.linspace(-1, 1, 60), values={"advantage": advantage})
        figure = draw_sheet(episode, entry)
        *_, reward, values = panels(figure)
        np.testing.assert_array_equal(reward.lines[0].get_ydata(), episode.rewards)
        np.testing.assert_array_equal(values.lines[0].get_ydata(), advantage)
        assert {"reward", "advantage"} <= {*texts(figure)}

    def test_the_heading_says_what_it_is_and_who_said_what(self, entry):
        episode = make_episode(steps=61, outcome=Outcome.FAILURE, episode="demo-0007")
        label = LabelEvent(
            stamp_ns=1, episode="x", rater="ada", outcome="failure", note="slipped $2^3$ \x1b[31m"
        )
        said = "\n".join(texts(draw_sheet(episode, replace(entry, rater="ada"), [label])))
        for words in ("demo-0007", "failure", "2.00 s, 61 steps", "task: pick up the cube"):
            assert words in said
        assert "2026-01-02 03:04:05" in said
        assert "ada says: failure, note: slipped $2^3$ ?[31m" in said


class TestFrames:
    def test_frames_are_spread_over_the_episode_with_time_source_and_reward(self):
        frames = camera_frames(intervened(), "front")
        assert [round(frame.time_s, 2) for frame in frames] == [
            *(0.0, 0.27, 0.57, 0.83, 1.13, 1.4, 1.7, 1.97)
        ]
        acted = [frame.source.value for frame in frames]
        assert acted == ["policy"] * 2 + ["teleop"] * 4 + ["policy"] * 2
        assert [frame.earned for frame in frames] == [0.0] * 7 + [1.0]
        assert all(frame.image.shape == frames[0].image.shape for frame in frames)

    def test_what_is_missing_or_broken_says_so(self, entry):
        episode = make_episode(steps=8, cameras=("front", "wrist"))
        front = (None, b"\xff\xd8noise", *episode.images["front"][2:])
        episode = replace(episode, images={"front": front, "wrist": (None,) * 8})
        found = [frame.problem for frame in camera_frames(episode, "front")]
        assert found == ["no image", "unreadable", *[""] * 6]
        said = texts(draw_sheet(episode, entry))
        assert said.count("no image") == 9 and said.count("unreadable") == 1
        assert {"front camera", "wrist camera"} <= {*said}


class TestPicture:
    @pytest.mark.parametrize(
        ("cameras", "steps"), [((), 2), (("front",), 2), (("front", "wrist", "side"), 40)]
    )
    def test_every_episode_makes_a_page_of_the_same_width(self, entry, cameras, steps):
        data = sheet_png(make_episode(steps=steps, cameras=cameras), entry)
        pixels = matplotlib.image.imread(io.BytesIO(data))
        height, width, _ = pixels.shape
        assert width == round(WIDTH_IN * DPI)
        assert height > 1200 + 250 * len(cameras)
        assert (pixels[:, :, :3] < 0.9).any(axis=2).mean() > 0.01
        assert (pixels[[0, -1]] == 1.0).all(), "drawn over the edge of the page"
        assert (pixels[:, [0, -1]] == 1.0).all(), "drawn over the edge of the page"

    @pytest.mark.parametrize("note", ["Wm " * 100, "iW$" * 100])
    def test_whatever_people_write_stays_on_the_page(self, entry, note):
        label = LabelEvent(stamp_ns=1, episode="e", rater="Wanda", note=note)
        episode = make_episode(steps=4, episode="W" * 128)
        pixels = matplotlib.image.imread(io.BytesIO(sheet_png(episode, entry, [label])))
        assert (pixels[:, [0, 8, -8, -1]] == 1.0).all()

    def test_minutes_are_drawn_too(self, entry):
        episode = make_episode(steps=9000, outcome=Outcome.TRUNCATED)
        assert sheet_png(episode, entry).startswith(b"\x89PNG")

    def test_a_page_of_a_real_bag_with_a_name_that_no_font_has(self, tmp_path, entry):
        bag = make_bag(directory=tmp_path / "b", steps=10, episode="episode", outcome=None)
        episode = read_episode(bag)
        facts = replace(episode.facts, task="拿起方块 " * 40, id="x" * 200)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            data = sheet_png(replace(episode, facts=facts), entry)
        assert data.startswith(b"\x89PNG")

    def test_it_is_the_same_every_time(self, entry):
        episode = make_episode(steps=9, cameras=("front",))
        assert sheet_png(episode, entry) == sheet_png(episode, entry)

    def test_where_nothing_can_be_written_it_says_so(self, entry, tmp_path):
        with pytest.raises(StoreError, match=r"sheet\.png: cannot be written"):
            write_sheet(tmp_path / "none" / "sheet.png", make_episode(steps=3), entry)
