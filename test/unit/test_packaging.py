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
from ros2_programs import PROGRAMS

from so101.services import SERVICES
from so101.topics import TOPICS
from so101.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SHIPPED = ("setup.py", "setup.cfg", "pyproject.toml", "package.xml", ".setup_assistant")
ROSDEP = yaml.safe_load((ROOT / "test/data/rosdep.yaml").read_text(encoding="utf-8"))
GUIDE = (ROOT / "docs/guides/ros_install.md").read_text(encoding="utf-8")
PLUGIN_PACKAGES = {
    "mock_components": "controller_manager",
    "ompl_interface": "moveit_planners_ompl",
    "kdl_kinematics_plugin": "moveit_kinematics",
    "default_planning_request_adapters": "moveit_ros_move_group",
    "default_planning_response_adapters": "moveit_ros_move_group",
    "moveit_rviz_plugin": "moveit_ros_visualization",
    "parallel_gripper_action_controller": "parallel_gripper_controller",
    "rviz_common": "rviz2",
    "rviz_default_plugins": "rviz2",
}
"""What installs a plugin, where its name does not begin with its package's."""
MODULES = {"moveit": "moveit_py"}
"""What installs a Python module, where it is not named like its package."""


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


def dependencies(manifest):
    return {depend.name for depend in (*manifest.exec_depends, *manifest.test_depends)}


def extras():
    """Return the packages that the guide leaves to those who want them."""
    names = re.findall(r"ros-\$ROS_DISTRO-([a-z0-9-]+)", GUIDE)
    return {name.replace("-", "_") for name in names}


def test_every_dependency_is_a_key_that_rosdep_knows(manifest):
    assert dependencies(manifest) <= {*ROSDEP["packages"], *ROSDEP["system"]}
    assert not manifest.buildtool_depends  # ament_python has no rosdep key


def test_every_extra_of_the_guide_is_released_and_nothing_that_comes_anyway(manifest):
    assert extras() <= set(ROSDEP["packages"])
    assert not extras() & dependencies(manifest)


def test_the_list_of_keys_has_no_key_twice():
    for kind in ("packages", "system"):
        assert ROSDEP[kind] == sorted(set(ROSDEP[kind]))


def test_every_package_that_a_launch_file_starts_is_a_dependency_or_an_extra(manifest):
    """Drivers, simulators and planners of other people are for those who choose them."""
    packages = {package for package, _ in PROGRAMS}
    assert {"rviz2", "joy", "rosbag2_transport", "moveit_ros_move_group"} <= packages
    assert packages - dependencies(manifest) <= extras()


def plugins():
    """Return the packages of all plugins that our files name."""
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob("config/*.yaml")]
    texts += [path.read_text(encoding="utf-8") for path in ROOT.glob("rviz/*.rviz")]
    named = re.findall(r"^[^#\n]*?\b([a-z][a-z0-9_]+)/[A-Z]\w+", "\n".join(texts), re.MULTILINE)
    named += re.findall(r"\[([a-z][a-z0-9_]+)/[A-Z]\w+", "\n".join(texts))
    urdfs = [path.read_text(encoding="utf-8") for path in ROOT.glob("so101_description/*/*.xacro")]
    named += re.findall(r"(?:<plugin>|: ')([a-z][a-z0-9_]+)/[A-Z]\w+", "\n".join(urdfs))
    return {PLUGIN_PACKAGES.get(name, name) for name in named}


def test_every_plugin_that_a_file_names_is_of_a_dependency_or_an_extra(manifest):
    assert {"pick_ik", "moveit_planners_ompl", "feetech_ros2_driver"} <= plugins()
    assert plugins() <= dependencies(manifest) | extras()


def test_every_ros_package_that_is_imported_is_a_dependency_or_an_extra(manifest):
    folders = [path.parent for path in ROOT.glob("*/__init__.py")]
    found = set()
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"^\s*(?:from|import) ([a-z0-9_]+)", text, re.MULTILINE))
        found |= set(re.findall(r"""import_module\(["']([a-z0-9_]+)""", text))
    found = {MODULES.get(name, name) for name in found} & set(ROSDEP["packages"])
    assert {"rclpy", "sensor_msgs", "launch_ros", "cv_bridge"} <= found
    assert found <= dependencies(manifest) | extras()


def test_a_message_type_of_the_table_is_of_a_dependency(manifest):
    kinds = {each.type for each in (*TOPICS, *SERVICES.values())}
    assert {kind.split("/")[0] for kind in kinds} <= dependencies(manifest)


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
    assert set(scripts) == {"so101", "joy_keyboard", *nodes}


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
