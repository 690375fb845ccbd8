"""Rules that hold for the repository as a whole: nothing unsafe ships, every version is pinned."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from so101_bringup.environment import FOREIGN_VARIABLES

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
FILES = sorted(
    path for name in (*PACKAGES, "launch", "tools") for path in (ROOT / name).rglob("*.py")
)
LOCKS = sorted((ROOT / "requirements").glob("py3*.txt"))
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal"}
UNSAFE_CALLS = {"eval", "exec", "__import__"}
DISTRIBUTION_ONLY = {"launch", "launch_ros", "cv_bridge", "moveit", "moveit_configs_utils"}
"""Imported where a ROS distribution is sourced."""


def imported_modules(tree):
    """Return (line, module) of every import, also of importlib.import_module("...")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
        elif isinstance(node, ast.Call) and called_name(node).endswith("import_module"):
            values = [a.value for a in node.args if isinstance(a, ast.Constant)]
            yield from ((node.lineno, value) for value in values)


def called_name(call):
    """Return the dotted name of what is called, such as ``torch.load``."""
    return ast.unparse(call.func)


def unsafe(tree):
    """Yield (line, what) of everything in a module that runs or unpacks foreign code."""
    for line, module in imported_modules(tree):
        if module.split(".")[0] in UNSAFE_MODULES:
            yield line, f"import {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            reason = unsafe_call(node)
            if reason:
                yield node.lineno, reason


def unsafe_call(call):
    """Return why a call is unsafe, or None."""
    name = called_name(call)
    last = name.rsplit(".", 1)[-1]
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in UNSAFE_CALLS or name in {"torch.load", "torch.save", "yaml.unsafe_load"}:
        return name
    if name in {"yaml.full_load", "yaml.load_all", "yaml.full_load_all", "yaml.unsafe_load_all"}:
        return name
    if name == "yaml.load" and keywords.get("Loader") not in STRICT_LOADERS:
        return f"yaml.load with {keywords.get('Loader')}"
    if last in {"load", "save", "savez"} and keywords.get("allow_pickle", "False") != "False":
        return "allow_pickle"
    if name.startswith("subprocess.") and keywords.get("shell", "False") != "False":
        return "shell"
    if name in {"os.system", "os.popen"}:
        return name
    return None


STRICT_LOADERS = {"_StrictLoader", "_LOADER", "yaml.SafeLoader"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_shipped_module_runs_or_unpacks_foreign_code(path):
    assert list(unsafe(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from cloudpickle import dumps",
        "import importlib; importlib.import_module('dill')",
        "eval('1')",
        "exec('x = 1')",
        "import yaml; yaml.load(text)",
        "import yaml; yaml.load(text, Loader=yaml.Loader)",
        "import torch; torch.load(path)",
        "import numpy as np; np.load(path, allow_pickle=True)",
        "import subprocess; subprocess.run(text, shell=True)",
    ],
)
def test_the_check_finds_what_it_looks_for(code):
    assert list(unsafe(ast.parse(code)))


def test_every_loader_that_counts_as_strict_is_a_safe_loader():
    import yaml
    from yaml.constructor import SafeConstructor

    from so101.config import _StrictLoader
    from so101.data.bags.bag_metadata import _LOADER

    loaders = {"_StrictLoader": _StrictLoader, "_LOADER": _LOADER}
    loaders["yaml.SafeLoader"] = yaml.SafeLoader
    assert set(loaders) == STRICT_LOADERS
    for loader in loaders.values():
        assert issubclass(loader, SafeConstructor)


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(path):
    """Return the requirement lines of a file, without comments and includes."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-r ")]


def input_names(*inputs):
    """Return the names of the packages that inputs ask for; of those always used without any."""
    paths = [ROOT / "requirements" / n for n in inputs or ("run.in", "ros_wheels.in", "dev.in")]
    return {
        normalized(re.match(r"[\w.-]+", line)[0]) for path in paths for line in requirements(path)
    }


def extra_names():
    """Return the names of the packages that setup.py offers as extras."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "extras_require":
            return {name for names in ast.literal_eval(node.value).values() for name in names}
    raise AssertionError("setup.py has no extras")


def test_there_is_a_lock_for_every_supported_python():
    assert [path.stem for path in LOCKS] == ["py311", "py312", "py313"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_pins_exact_versions_and_names_no_source(path):
    lines = requirements(path)
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.!]*", line) for line in lines)
    names = [line.split("==")[0] for line in lines]
    assert names == sorted(set(names))
    assert input_names() <= set(names)
    assert (input_names("lerobot.in") <= set(names)) == (path.stem != "py311")


def test_python_3_12_fits_lerobot():
    """lerobot 0.6.1's own upper bounds on what both need."""
    pins = dict(line.split("==") for line in requirements(ROOT / "requirements" / "py312.txt"))
    bounds = {"torch": (2, 12), "numpy": (2, 3), "opencv-python-headless": (4, 14)}
    bounds |= {"pillow": (13,), "packaging": (26,), "setuptools": (82,), "gymnasium": (2,)}
    for name, bound in bounds.items():
        assert tuple(map(int, pins[name].split(".")[: len(bound)])) < bound, name


def test_every_third_party_import_is_a_declared_requirement():
    declared = input_names() | input_names("lerobot.in") | extra_names()
    providers = packages_distributions()
    known = {*sys.stdlib_module_names, *PACKAGES, *DISTRIBUTION_ONLY}
    for path in FILES:
        for _, module in imported_modules(ast.parse(path.read_text(encoding="utf-8"))):
            top = module.split(".")[0]
            names = {normalized(name) for name in providers.get(top, [top])}
            names |= {f"ros-{name}" for name in names} | {f"ros-kilted-{name}" for name in names}
            assert top in known or names & declared, f"{path}: {module}"


def test_import_linter_knows_every_package():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    roots = set(pyproject["tool"]["importlinter"]["root_packages"])
    assert roots == set(PACKAGES) - {"so101_description"}


def test_node_packages_export_nothing():
    """An import in an __init__ would pull rclpy or torch into every user of a pure module."""
    for path in ROOT.glob("*_node/__init__.py"):
        assert path.read_text(encoding="utf-8") == "", path


def makefile_variable(name):
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    return re.search(rf"^{name} := (.*)$", text, re.MULTILINE)[1].split()


def test_makefile_and_supervisor_keep_out_the_same_variables():
    assert sorted(makefile_variable("FOREIGN_VARIABLES")) == sorted(FOREIGN_VARIABLES)


def test_a_sourced_distribution_does_not_reach_the_environment(tmp_path):
    """As in a shell with /opt/ros sourced: every import still comes from the environment."""
    pytest.importorskip("rclpy")
    for name in ("rclpy", "numpy", "sensor_msgs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('poisoned {name}')\n")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('poisoned start')\n")
    (tmp_path / "librcl.so").write_text("not a library")
    poison = dict.fromkeys(FOREIGN_VARIABLES, str(tmp_path))
    poison |= {"RMW_IMPLEMENTATION": "rmw_absent_cpp", "ROS_DISTRO": "jazzy"}
    command = ["make", "-s", "where", f"VENV={sys.prefix}"]
    lines = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | poison,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith(sys.prefix) for line in lines)


@pytest.mark.parametrize("path", sorted(ROOT.glob("benchmarks/*.py")), ids=lambda path: path.name)
def test_make_bench_can_run_every_benchmark(path):
    text = path.read_text(encoding="utf-8")
    for option in ('"--small"', '"--out"'):
        assert f"add_argument({option}" in text, option
