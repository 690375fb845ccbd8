"""Images are decoded once, early where it helps, and to the same pixels whoever does it."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101 import camera_images
from so101.acting import ActingLoop
from so101.camera_images import CameraImage, CameraImages
from so101.clock import CONTROL_GRID, POLICY_GRID
from so101.decoding import EarlyDecoder
from so101.episode import EpisodeFacts, EpisodeState
from so101.errors import BagError
from so101.events import EpisodeEvent
from so101.images import decode_image, encode_jpeg
from so101.streams import JointSample, ObservationConfig
from so101.topics import JOINT_COMMANDS, JOINT_STATES, image_topic

CAMERAS = ("front", "wrist")
FIRST = 90
"""Policy tick at which the episode begins."""
SIZE = (12, 16)


def jpeg_of(number: int) -> bytes:
    rng = np.random.default_rng(number)
    return encode_jpeg(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))


JPEGS = [jpeg_of(number) for number in range(12)]


class CountingDecoder(EarlyDecoder):
    """Remembers what it began."""

    def __init__(self):
        super().__init__(CAMERAS)
        self.begun = []

    def begin(self, camera, jpeg, size):
        self.begun.append((camera, jpeg))
        super().begin(camera, jpeg, size)


@pytest.fixture
def decoder():
    decoder = CountingDecoder()
    yield decoder
    decoder.close()


@pytest.fixture
def decoded(monkeypatch):
    """List what is decoded."""
    found = []

    def counted(jpeg, size):
        found.append(jpeg)
        return decode_image(jpeg, size)

    monkeypatch.setattr(camera_images, "decode_image", counted)
    return found


def loop_of(decoder, *, is_lock_step, ticks=4):
    config = ObservationConfig(cameras=CAMERAS, image_size=SIZE, is_lock_step=is_lock_step)
    loop = ActingLoop(config, "policy", ticks, decoder)
    facts = EpisodeFacts(id="e", source="policy")
    stamp_ns = POLICY_GRID.stamp(FIRST)
    loop.on_episode(EpisodeEvent(stamp_ns=stamp_ns, state=EpisodeState.RUNNING, facts=facts))
    return loop


def play(loop, ticks, *, lag_ticks=0):
    """Feed ticks with images that arrive some ticks late, joints first; return observations."""
    seen, value = [], np.zeros(6)
    sample = JointSample(positions=value, velocities=value, effort=value)
    for tick in range(FIRST, FIRST + ticks):
        messages = []
        for control in (2 * tick - 1, 2 * tick):
            stamp_ns = CONTROL_GRID.stamp(control)
            messages += [
                (JOINT_COMMANDS.name, value, stamp_ns),
                (JOINT_STATES.name, sample, stamp_ns),
            ]
        shown = tick - lag_ticks
        for camera in CAMERAS:
            # bytes of its own for every message, as over the wire
            jpeg = bytes(bytearray(JPEGS[shown % len(JPEGS)]))
            messages.append((image_topic(camera).name, jpeg, POLICY_GRID.stamp(shown)))
        for topic, content, stamp_ns in messages:
            loop.feed(topic, content, stamp_ns, stamp_ns)
            if (observation := loop.due()) is not None:
                seen.append(observation)
    return seen


@given(
    is_lock_step=st.booleans(),
    lag_ticks=st.integers(0, 2),
    ticks=st.integers(1, 6),
    size=st.sampled_from([(0, 0), SIZE, (24, 32), (5, 7)]),
)
def test_early_or_late_the_pixels_are_those_that_training_reads(
    is_lock_step, lag_ticks, ticks, size
):
    lag_ticks = 0 if is_lock_step else lag_ticks
    decoder = EarlyDecoder(CAMERAS)
    early = loop_of(decoder, is_lock_step=is_lock_step, ticks=ticks)
    late = loop_of(None, is_lock_step=is_lock_step, ticks=ticks)
    for loop in (early, late):
        loop.resize(size)
    pairs = list(
        zip(*(play(loop, 14, lag_ticks=lag_ticks) for loop in (early, late)), strict=True)
    )
    decoder.close()
    assert pairs
    for one, other in pairs:
        assert one.jpegs == other.jpegs
        assert set(one.images) == set(one.jpegs) == set(CAMERAS) - one.missing
        for camera, jpeg in one.jpegs.items():
            np.testing.assert_array_equal(one.images[camera], decode_image(jpeg, size))
            np.testing.assert_array_equal(other.images[camera], one.images[camera])


def test_in_lock_step_nothing_is_decoded_that_no_decision_uses(decoder, decoded):
    seen = play(loop_of(decoder, is_lock_step=True), 12)
    decoder.close()
    assert len(seen) == 3
    assert decoder.begun == [(c, one.jpegs[c]) for one in seen for c in CAMERAS]
    for one in seen:
        assert all(image.shape == (*SIZE, 3) for image in one.images.values())
    assert len(decoded) == len(decoder.begun)


@pytest.mark.parametrize("lag_ticks", [1, 2])
def test_with_free_running_time_what_a_decision_uses_was_begun(decoder, decoded, lag_ticks):
    seen = play(loop_of(decoder, is_lock_step=False, ticks=6), 25, lag_ticks=lag_ticks)
    begun = len(decoder.begun)
    for one in seen[1:]:  # the first is due with the episode
        assert set(one.images) == set(CAMERAS)
        assert all((camera, one.jpegs[camera]) in decoder.begun for camera in CAMERAS)
    ages = ObservationConfig().max_image_age_s
    assert begun <= len(CAMERAS) * len(seen) * (1 + ages * POLICY_GRID.rate_hz)


def test_without_an_episode_nothing_is_decoded(decoder, decoded):
    loop = loop_of(decoder, is_lock_step=False)
    loop.clock.stop()
    play(loop, 8)
    assert decoder.begun == []
    assert decoded == []


def test_whoever_only_passes_jpegs_on_pays_for_no_pixels(decoded):
    seen = play(loop_of(None, is_lock_step=True), 5)
    assert all(one.jpegs["front"] == JPEGS[FIRST % 12 + i * 4] for i, one in enumerate(seen))
    assert decoded == []
    assert "front" in seen[0].images
    assert len(seen[0].images) == len(CAMERAS)
    assert decoded == []


def test_several_who_look_at_once_see_one_picture(monkeypatch):
    is_open, calls = threading.Event(), []

    def slow(jpeg, size):
        calls.append(jpeg)
        assert is_open.wait(20.0)
        return decode_image(jpeg, size)

    monkeypatch.setattr(camera_images, "decode_image", slow)
    image, found = CameraImage("front", JPEGS[0], (0, 0)), []
    threads = [threading.Thread(target=lambda: found.append(image.pixels())) for _ in range(4)]
    for thread in threads:
        thread.start()
    is_open.set()
    for thread in threads:
        thread.join(20.0)
    assert len(found) == 4
    assert calls == JPEGS[:1]
    assert all(pixels is found[0] for pixels in found)


def test_nobody_writes_into_a_picture_that_others_see():
    pixels = CameraImage("front", JPEGS[0], (0, 0)).pixels()
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0, 0] = 1


def test_a_broken_image_is_told_to_whoever_looks_and_names_its_camera(decoder):
    broken = JPEGS[0][:40]
    decoder.begin("front", broken, SIZE)
    image = decoder.take("front", broken, SIZE)
    for _ in range(2):
        with pytest.raises(BagError, match=image_topic("front").name):
            image.pixels()
    whole = decoder.take("front", JPEGS[1], SIZE)
    np.testing.assert_array_equal(whole.pixels(), decode_image(JPEGS[1], SIZE))


def test_an_image_of_another_size_or_camera_is_not_taken_for_the_one_begun(decoder):
    decoder.begin("front", JPEGS[0], SIZE)
    assert decoder.take("front", JPEGS[0], SIZE).pixels().shape == (*SIZE, 3)
    assert decoder.take("front", JPEGS[0], (0, 0)).pixels().shape == (24, 32, 3)
    assert decoder.take("wrist", JPEGS[0], SIZE).camera == "wrist"


def test_after_the_end_it_is_decoded_by_whoever_looks(decoder):
    decoder.begin("front", JPEGS[0], SIZE)
    decoder.close()
    assert decoder.take("front", JPEGS[0], SIZE).pixels().shape == (*SIZE, 3)


def test_an_observation_with_fewer_cameras_has_fewer_images():
    images = CameraImages({"front": CameraImage("front", JPEGS[0], (0, 0))})
    assert list(images) == ["front"]
    assert images.get("wrist") is None
    assert "wrist" not in images


def test_resizing_takes_effect_with_the_next_observation(decoder):
    loop = loop_of(decoder, is_lock_step=True)
    loop.resize((6, 8))
    assert play(loop, 1)[0].images["front"].shape == (6, 8, 3)
