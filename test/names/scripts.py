"""Names in scripts, workflows, container files and guides: files, programs, packages."""

import re
import shlex
from collections.abc import Iterator

from names.shipped import Shipped, wrong_topic
from ros2_programs import PROGRAMS

from so101.services import SERVICES
from so101_bringup.launch_arguments import launch_arguments
from so101_bringup.launch_table import LAUNCH_FILES

PACKAGES = {"so101_bringup", "so101_description"}
FOREIGN_LAUNCHES = {("ros_gz_sim", "gz_sim.launch.py")}
APT = {
    "python3-venv",
    "python3-colcon-common-extensions",
    "libegl1",
    "libegl-mesa0",
    "libgl1-mesa-dri",
}
"""Packages of Ubuntu 24.04, and of a distribution's repository, beside what rosdep installs."""
ORACLES = {"yourdfpy"}
"""What some tests compare with where it is installed."""

_PATH = re.compile(
    r"(?:^|[\s\"'=])(?:src/so101_bringup/|\./)?"
    r"((?:\.ci|\.devcontainer|benchmarks|config|docker|launch|requirements|rviz|test|tools)"
    r"/[\w./*-]*\w)"
)
_LAUNCH = re.compile(r"ros2 launch (\w+) ([^\s`]+)((?: +[a-z_]+:=\S+)*)")
_RUN = re.compile(r"ros2 run (\S+) (\w+)")
_PREFIX = re.compile(r"ros2 pkg prefix (\w+)")
_CALL = re.compile(r"ros2 (topic|service) (?:echo|pub|hz|call|info) ((?:--?\w+ )*)/?([\w/]+)")
_MAKE = re.compile(r"(?:^|run: |exec |&& )make (?:-\S+ )*([a-z]+)", re.MULTILINE)
_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)


def wrong_page(text: str, shipped: Shipped) -> list[str]:
    """Say which names of what a person is told to type do not exist.

    Lines for ROS's own tools are looked at by `guide_commands`.
    """
    text = text.replace("\\\n", " ")
    return [
        *_wrong_targets(text, shipped),
        *(f"apt {name}" for name in _apt(text) if _is_unknown(name, shipped)),
    ]


def wrong_script(text: str, shipped: Shipped) -> list[str]:
    """Say which names of a script, a workflow or a container file do not exist."""
    joined = text.replace("\\\n", " ")
    ros = [*_wrong_launches(joined, shipped), *_wrong_calls(joined)]
    pip = (f"pip {name}" for name in _pip(joined) if name not in shipped.requirements | ORACLES)
    return [*ros, *wrong_page(text, shipped), *_wrong_paths(joined, shipped), *pip]


def _wrong_paths(text: str, shipped: Shipped) -> Iterator[str]:
    for name in _PATH.findall(text):
        if not any(shipped.root.glob(name)):
            yield f"file {name}"
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        *sources, _ = [word for word in line.split() if not word.startswith("--")]
        yield from (f"file {name}" for name in sources if not (shipped.root / name).exists())


def _wrong_launches(text: str, shipped: Shipped) -> Iterator[str]:
    for package, name, given in _LAUNCH.findall(text):
        file = LAUNCH_FILES.get(name.removesuffix(".launch.py"))
        if (package, name) in FOREIGN_LAUNCHES:
            continue
        if package not in PACKAGES:
            yield f"package {package}"
        elif file is None or not (shipped.root / "launch" / name).exists():
            yield from [] if set(name) & set("$<X") else [f"launch file {name}"]
        else:
            known = {each.name for each in launch_arguments(file)}
            typed = {word.split(":=")[0] for word in given.split()}
            yield from (f"argument {name} {each}" for each in typed - known)
    for package, program in _RUN.findall(text):
        is_ours = package in PACKAGES and program in shipped.executables
        if not is_ours and (package, program) not in PROGRAMS:
            yield f"program {package} {program}"
    yield from (f"package {name}" for name in _PREFIX.findall(text) if name not in PACKAGES)


def _wrong_calls(text: str) -> Iterator[str]:
    for kind, _, name in _CALL.findall(text):
        if kind == "topic" and wrong_topic(name):
            yield f"topic {name}"
        elif kind == "service" and name not in SERVICES:
            yield f"service {name}"


def _apt(text: str) -> Iterator[str]:
    for line in re.findall(r"apt(?:-get)? install ([^&|`\n]*)", text):
        yield from (word for word in line.split() if word[0].isalpha())


def _is_unknown(name: str, shipped: Shipped) -> bool:
    """Tell whether apt would not find a package."""
    of_ros = re.fullmatch(r"ros-\$\{?ROS_DISTRO\}?-(.+)", name)
    return of_ros[1].replace("-", "_") not in shipped.released if of_ros else name not in APT


def _pip(text: str) -> Iterator[str]:
    for line in re.findall(r"pip install ([^&|#`\n]*)", text):
        words = iter(shlex.split(line))
        for word in words:
            if word in ("-r", "-c"):
                next(words, None)
            elif not word.startswith("-"):
                yield re.split(r"[<>=\[]", word)[0]


def _wrong_targets(text: str, shipped: Shipped) -> Iterator[str]:
    known = set(_TARGET.findall((shipped.root / "Makefile").read_text(encoding="utf-8")))
    yield from (f"make {name}" for name in _MAKE.findall(text) if name not in known)
