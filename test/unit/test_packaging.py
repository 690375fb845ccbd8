"""The repository is one ament_python package that also installs so101_description."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from so101.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SHIPPED = ("setup.py", "setup.cfg", "pyproject.toml", "package.xml", ".setup_assistant")
# Keys that rosdep knows on Ubuntu 24.04: ROS packages, and system packages by these names.
ROSDEP_KEYS = {
    *("rclpy", "ament_index_python", "builtin_interfaces", "diagnostic_msgs", "geometry_msgs"),
    *("rcl_interfaces", "rosgraph_msgs", "sensor_msgs", "std_msgs", "std_srvs"),
    *("trajectory_msgs", "visualization_msgs", "launch", "launch_ros", "xacro"),
    *("robot_state_publisher", "joint_state_publisher_gui", "rviz2", "tf2_ros", "joy"),
    *("compressed_image_transport", "rosbag2_transport", "rosbag2_storage_mcap", "ros2launch"),
    *("controller_manager", "joint_state_broadcaster", "joint_trajectory_controller"),
    *("python3-numpy", "python3-opencv", "python3-psutil", "python3-yaml", "python3-pytest"),
    *("python3-serial", "control_msgs", "moveit_msgs"),
}


def parsed_setup():
    """Return the keyword arguments of the setup() call as syntax trees."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (call,) = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "setup"]
    return {keyword.arg: keyword.value for keyword in call.keywords}


def console_scripts():
    """Return {command: "module:function"} of setup.py."""
    lines = ast.literal_eval(parsed_setup()["entry_points"])["console_scripts"]
    return dict(line.split(" = ") for line in lines)


@pytest.fixture(scope="module")
def manifest():
    """package.xml as catkin_pkg, and so colcon, reads it: it rejects invalid e-mail addresses."""
    packages = pytest.importorskip("catkin_pkg.package")
    return packages.parse_package(str(ROOT / "package.xml"))


def test_the_manifest_is_valid_and_free_of_warnings(manifest):
    warnings = []
    manifest.validate(warnings=warnings)
    assert warnings == []
    assert manifest.package_format == 3
    assert manifest.get_build_type() == "ament_python"
    assert manifest.licenses == ["Apache-2.0"]


def test_one_version_everywhere(manifest):
    assert manifest.version == VERSION
    assert ast.literal_eval(parsed_setup()["version"]) == VERSION
    assert f"\n## {VERSION}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_dependency_is_a_key_that_rosdep_knows(manifest):
    names = {d.name for d in (*manifest.exec_depends, *manifest.test_depends)}
    assert names <= ROSDEP_KEYS
    assert not manifest.buildtool_depends  # ament_python has no rosdep key


def test_every_package_that_a_launch_file_starts_is_a_dependency(manifest):
    """Drivers and simulators of other people are for those who choose them."""
    chosen = {"mujoco_ros2_control", "ros_gz_sim", "ros_gz_bridge", "moveit_ros_move_group"}
    tree = ast.parse((ROOT / "so101_bringup/foreign_nodes.py").read_text(encoding="utf-8"))
    calls = [c for c in ast.walk(tree) if isinstance(c, ast.Call) and len(c.args) > 1]
    calls = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "_foreign"]
    packages = {c.args[1].value for c in calls if isinstance(c.args[1], ast.Constant)}
    assert {"rviz2", "joy", "rosbag2_transport"} <= packages
    assert packages <= chosen | {depend.name for depend in manifest.exec_depends}


def test_nodes_that_do_not_learn_need_a_part_of_what_all_need():
    every, some = requirements_of("run.in"), requirements_of("nodes.in")
    assert some < every
    assert not {re.split(r"[<>=]", line)[0] for line in some} & {"torch", "safetensors", "numpy"}


def requirements_of(file):
    """Return the lines of a file of requirements."""
    lines = (ROOT / "requirements" / file).read_text(encoding="utf-8").splitlines()
    return {line.partition("#")[0].strip() for line in lines} - {""}


def test_every_console_script_exists_and_every_node_has_one():
    scripts = console_scripts()
    for target in scripts.values():
        module, function = target.split(":")
        path = ROOT / (module.replace(".", "/") + ".py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in names, target
    nodes = {path.parent.name for path in ROOT.glob("*_node/node.py")}
    assert set(scripts) == {"so101", *nodes}


def test_colcon_runs_the_tests_with_pytest():
    """By this entry alone it knows; without it, it runs unittest, which finds none."""
    assert ast.literal_eval(parsed_setup()["extras_require"])["test"] == ["pytest"]


def test_launch_has_no_init_file():
    """It would shadow ROS's own package `launch`."""
    assert not (ROOT / "launch" / "__init__.py").exists()


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The shipped files in a directory of their own, as links."""
    copy = tmp_path_factory.mktemp("workspace") / "so101_bringup"
    copy.mkdir()
    folders = [path.parent for path in ROOT.glob("*/__init__.py")]
    others = [ROOT / name for name in ("resource", "launch", "config", "rviz")]
    for path in (*folders, *others, *(ROOT / name for name in SHIPPED)):
        if path.exists():
            (copy / path.name).symlink_to(path)
    return copy


def colcon(copy, *arguments):
    """Run colcon in the copy and return what it prints."""
    environ = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = [str(BIN / "colcon"), "--log-base", "/dev/null", *arguments]
    return subprocess.run(
        command, cwd=copy, env=environ, check=True, capture_output=True, text=True, timeout=100
    ).stdout


needs_colcon = pytest.mark.skipif(not (BIN / "colcon").exists(), reason="colcon is not installed")


@needs_colcon
def test_colcon_lists_one_ament_python_package(copy):
    assert colcon(copy, "list").split() == ["so101_bringup", ".", "(ros.ament_python)"]


@needs_colcon
def test_colcon_installs_both_packages(copy, tmp_path):
    install = tmp_path / "install"
    colcon(copy, "build", "--build-base", str(tmp_path / "b"), "--install-base", str(install))
    prefix = install / "so101_bringup"
    index = prefix / "share/ament_index/resource_index/packages"
    assert {path.name for path in index.iterdir()} == {"so101_bringup", "so101_description"}
    programs = {path.name for path in (prefix / "lib/so101_bringup").iterdir()}
    assert programs == set(console_scripts())
    for folder in ("launch", "config", "rviz"):
        installed = files_of(prefix / "share/so101_bringup" / folder)
        assert installed == files_of(ROOT / folder)
    assistant = prefix / "share/so101_bringup/.setup_assistant"
    assert assistant.read_bytes() == (ROOT / ".setup_assistant").read_bytes()
    assert share_of("so101_description", prefix) == prefix / "share/so101_description"
    check_description(prefix / "share/so101_description")
    (site,) = prefix.glob("lib/python3*/site-packages")
    check_description(site / "so101_description")


def files_of(folder):
    """Return the files below a folder, caches of Python apart."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder) for path in paths if path.suffix != ".pyc"}


def share_of(package, prefix):
    """Return a package's share directory as the ament index resolves it."""
    if importlib.util.find_spec("ament_index_python") is None:
        pytest.skip("ament_index_python is not installed")
    from ament_index_python.packages import get_package_share_directory

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMENT_PREFIX_PATH", str(prefix))
        return Path(get_package_share_directory(package))


def check_description(folder):
    """Every file of the description but Python's is there, byte for byte."""
    source = ROOT / "so101_description"
    files = [path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    files = [path for path in files if path.suffix != ".py"]
    assert any(path.suffix == ".xacro" for path in files)
    for path in files:
        assert (folder / path.relative_to(source)).read_bytes() == path.read_bytes()


def test_config_files_are_valid_yaml():
    for path in (ROOT / "config").glob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict), path
