"""Are two cameras swapped? Proof by name, a guess by picture."""

from dataclasses import replace

import numpy as np
import pytest

from camera_node.view import SIDE, load_views, save_view, suspicion, view_of
from so101.errors import ConfigError


def scene(seed, noise=0, shift=0, light=1.0):
    """Return a picture of blocks; the same seed is the same scene."""
    blocks = np.random.default_rng(seed).integers(20, 220, (8, 8, 3))
    image = np.roll(np.kron(blocks, np.ones((30, 40, 1))), shift, axis=1) * light
    image = image + np.random.default_rng(seed + 100).normal(0, noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def views(identities=("", "")):
    pairs = zip(("wrist", "front"), identities, strict=True)
    return {name: view_of(name, one, scene(n)) for n, (name, one) in enumerate(pairs)}


@pytest.mark.case(31)
@pytest.mark.parametrize("noise", [0, 20])
@pytest.mark.parametrize("light", [0.6, 1.0, 1.1])
def test_swapped_pictures_are_noticed_and_the_right_ones_are_not(noise, light):
    remembered = views()
    for number, name in enumerate(("wrist", "front")):
        right = view_of(name, "", scene(number, noise, light=light))
        wrong = view_of(name, "", scene(1 - number, noise, light=light))
        assert suspicion(right, remembered) == ""
        assert "when it was set up" in suspicion(wrong, remembered)


def test_a_new_scene_is_no_proof_of_anything():
    for seed in range(2, 30):
        assert suspicion(view_of("wrist", "", scene(seed)), views()) == ""
    dark = view_of("wrist", "", np.zeros((48, 64, 3), np.uint8))
    assert suspicion(dark, views()) == ""


@pytest.mark.case(31)
def test_where_cameras_have_names_the_name_decides():
    remembered = views(("usb-A", "usb-B"))
    assert suspicion(view_of("wrist", "usb-A", scene(1)), remembered) == ""
    words = suspicion(view_of("wrist", "usb-B", scene(0)), remembered)
    assert "usb-B" in words and "the front camera" in words
    assert "usb-C" in suspicion(view_of("wrist", "usb-C", scene(0)), remembered)
    assert suspicion(view_of("top", "usb-B", scene(1)), remembered) == ""  # never set up


def test_what_is_remembered_reads_back(tmp_path):
    assert load_views(tmp_path / "views") == {}
    for view in views(("usb-A", "")).values():
        save_view(tmp_path / "views", view)
    assert load_views(tmp_path / "views") == views(("usb-A", ""))
    again = replace(views()["wrist"], identity="usb-N")
    save_view(tmp_path / "views", again)
    assert load_views(tmp_path / "views")["wrist"] == again
    assert len(list((tmp_path / "views").iterdir())) == 2


def test_a_broken_memory_is_named(tmp_path):
    (tmp_path / "wrist.json").write_text('{"camera": "wrist", "identity": "", "grey": [1]}')
    with pytest.raises(ConfigError, match=rf"wrist\.json.*{SIDE * SIDE}"):
        load_views(tmp_path)
