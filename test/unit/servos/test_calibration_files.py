"""Where LeRobot keeps calibrations: its variables, its two folder names, and clear errors."""

from pathlib import Path

import pytest

from so101.errors import ConfigError
from so101.servos.calibration_files import (
    ARM_KINDS,
    calibration_path,
    calibration_root,
    find_calibration,
)

HOME = Path("/home/ann")
CACHE = HOME / ".cache/huggingface/lerobot/calibration"
FOLDERS = {
    "follower": ("robots/so_follower", "robots/so101_follower"),
    "leader": ("teleoperators/so_leader", "teleoperators/so101_leader"),
}
kinds = pytest.mark.parametrize("kind", ARM_KINDS)


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({}, CACHE),
        ({"XDG_CACHE_HOME": "/c"}, Path("/c/huggingface/lerobot/calibration")),
        ({"HF_HOME": "/hf", "XDG_CACHE_HOME": "/c"}, Path("/hf/lerobot/calibration")),
        ({"HF_LEROBOT_HOME": "/lr", "HF_HOME": "/hf"}, Path("/lr/calibration")),
        ({"HF_LEROBOT_HOME": "~/lr"}, HOME / "lr/calibration"),
        ({"HF_LEROBOT_CALIBRATION": "~", "HF_LEROBOT_HOME": "/lr"}, HOME),
        ({"HF_LEROBOT_CALIBRATION": "", "HF_LEROBOT_HOME": ""}, CACHE),
    ],
)
def test_the_nearest_variable_wins(environ, root):
    assert calibration_root(environ, HOME) == root


def put(root, folder, name):
    path = root / folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


@kinds
def test_both_folders_are_looked_in_and_the_newer_one_wins(tmp_path, kind):
    new, old = FOLDERS[kind]
    written = put(tmp_path, old, "blue")
    assert find_calibration(tmp_path, kind, "blue") == written
    written = put(tmp_path, new, "blue")
    assert find_calibration(tmp_path, kind, "blue") == written
    assert calibration_path(tmp_path, kind, "blue") == written


def test_a_leaders_file_is_not_a_followers(tmp_path):
    put(tmp_path, FOLDERS["leader"][0], "blue")
    with pytest.raises(ConfigError, match="no calibration of the follower 'blue'"):
        find_calibration(tmp_path, "follower", "blue")


@kinds
def test_an_error_names_where_and_what_is_there(tmp_path, kind):
    with pytest.raises(ConfigError, match="nothing is there") as caught:
        find_calibration(tmp_path, kind, "blue")
    for folder in FOLDERS[kind]:
        assert str(tmp_path / folder / "blue.json") in str(caught.value)
        put(tmp_path, folder, f"of-{Path(folder).name}")
    names = ", ".join(sorted(f"of-{Path(folder).name}" for folder in FOLDERS[kind]))
    with pytest.raises(ConfigError, match=f"there: {names};"):
        find_calibration(tmp_path, kind, "blue")


@pytest.mark.parametrize("robot_id", ["", "../blue", "a/b", ".hidden", "a b", "x" * 65, "a\n"])
def test_an_id_is_a_plain_file_name(tmp_path, robot_id):
    for use in (find_calibration, calibration_path):
        with pytest.raises(ConfigError, match="expected up to 64 letters"):
            use(tmp_path, "follower", robot_id)
