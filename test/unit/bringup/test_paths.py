"""Shipped files are found in a checkout and where pip and colcon put them."""

from pathlib import Path

import pytest

from so101.errors import ConfigError
from so101_bringup import paths


def test_the_checkout_comes_first(monkeypatch, tmp_path):
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert paths.config_path("policy_node.yaml") == (
        Path(paths.__file__).parents[1] / "config" / "policy_node.yaml"
    )


@pytest.mark.parametrize("how", ["colcon", "pip"])
def test_an_installed_package_finds_its_share(monkeypatch, tmp_path, how):
    module = tmp_path / "lib" / "site-packages" / "so101_bringup" / "paths.py"
    share = tmp_path / "share" / "so101_bringup" / "config"
    share.mkdir(parents=True)
    (share / "a.yaml").write_text("")
    monkeypatch.setattr(paths, "__file__", str(module))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}" if how == "colcon" else "")
    monkeypatch.setattr(paths.sys, "prefix", str(tmp_path if how == "pip" else "/nowhere"))
    assert paths.config_path("a.yaml") == share / "a.yaml"


def test_a_missing_file_is_named_with_the_places(monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/somewhere")
    with pytest.raises(ConfigError, match=r"config/absent.yaml: not found in .*/opt/somewhere"):
        paths.config_path("absent.yaml")


def test_a_run_keeps_everything_below_its_root():
    run = paths.RunPaths(root=Path("/data/run"))
    assert (run.episodes, run.checkpoints, run.logs) == (
        Path("/data/run/episodes"),
        Path("/data/run/checkpoints"),
        Path("/data/run/logs"),
    )
