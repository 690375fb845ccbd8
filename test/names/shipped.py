"""What there is to name: files, programs, topics, frames, joints and groups of this repository.

A rule returns what is wrong, one line per name, so that a test can hold the repository against it,
and a copy with a name misspelled as well.
"""

import re
import runpy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from unittest import mock
from xml.etree import ElementTree

import yaml

from so101 import topics
from so101.kinematics.urdf import robot_description, semantic_description
from so101.topics import TOPICS, camera_info_topic, image_topic, raw_image_topic
from so101_bringup.foreign_nodes import BROADCAST_STATES, SLIDER_STATES

ROOT = Path(__file__).resolve().parents[2]
CAMERAS = ("wrist", "front")


@dataclass(frozen=True)
class Shipped:
    """What there is in a checkout.

    Attributes:
        root: The checkout.
    """

    root: Path = ROOT

    @cached_property
    def setup(self) -> dict[str, Any]:
        """The keyword arguments that setup.py gives to setuptools."""
        with mock.patch("setuptools.setup") as setup, chdir(self.root):  # as colcon runs it
            runpy.run_path(str(self.root / "setup.py"))
        return dict(setup.call_args.kwargs)

    @cached_property
    def executables(self) -> set[str]:
        """Names of the programs."""
        lines = self.setup["entry_points"]["console_scripts"]
        return {line.split(" = ")[0] for line in lines}

    @cached_property
    def installed(self) -> set[Path]:
        """Absolute paths of the files that go into a share directory."""
        pairs = self.setup["data_files"]
        return {(self.root / file).resolve() for _, files in pairs for file in files}

    @cached_property
    def controllers(self) -> dict[str, str]:
        """Type of every controller in the config files, by name."""
        found = {}
        for path in (self.root / "config").glob("controllers*.yaml"):
            for body in yaml.safe_load(path.read_text(encoding="utf-8")).values():
                for name, value in body["ros__parameters"].items():
                    if isinstance(value, Mapping) and "type" in value:
                        found[name] = value["type"]
        return found

    @cached_property
    def requirements(self) -> set[str]:
        """Names of what pip installs."""
        files = (self.root / "requirements").glob("*.in")
        lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
        names = (re.match(r"[A-Za-z][\w.-]*", line) for line in lines)
        return {name[0] for name in names if name}

    @cached_property
    def released(self) -> set[str]:
        """ROS packages that every supported distribution has, of those that we have a use for."""
        path = self.root / "test" / "data" / "rosdep.yaml"
        return set(yaml.safe_load(path.read_text(encoding="utf-8"))["packages"])

    def is_installed(self, path: Path) -> bool:
        """Tell whether a file of the checkout is there on a distribution, too."""
        return path.resolve() in self.installed


@cache
def frames(prefix: str = "") -> frozenset[str]:
    """Return the links of the robot, which are the frames that TF knows."""
    root = ElementTree.fromstring(robot_description(prefix))
    return frozenset(str(link.get("name")) for link in root.findall("link"))


@cache
def groups() -> frozenset[str]:
    """Return MoveIt's groups of joints."""
    root = ElementTree.fromstring(semantic_description())
    return frozenset(str(group.get("name")) for group in root.findall("group"))


def known_topics(cameras: Iterable[str] = CAMERAS) -> set[str]:
    """Return every topic of interfaces.md, and what other packages say beside."""
    makers = (image_topic, raw_image_topic, camera_info_topic)
    seen = {make(camera).name for camera in cameras for make in makers}
    beside = {BROADCAST_STATES, SLIDER_STATES, "tf", "tf_static"}
    beside |= {"diagnostics_agg", "diagnostics_toplevel_state"}  # for rqt_robot_monitor
    return {topic.name for topic in TOPICS} | seen | beside


def actions() -> set[str]:
    """Return the actions that nodes of ours offer."""
    found = (value for value in vars(topics).values() if "/action/" in getattr(value, "type", ""))
    return {value.name for value in found}


def wrong_topic(name: str) -> list[str]:
    """Say what is wrong with the name of a topic of ours, relative or in no namespace."""
    return [] if name.removeprefix("/") in known_topics() or name in known_topics() else [name]


@cache
def joints() -> frozenset[str]:
    """Return the joints of the robot that move."""
    root = ElementTree.fromstring(robot_description())
    moving = [joint for joint in root.findall("joint") if joint.get("type") != "fixed"]
    return frozenset(str(joint.get("name")) for joint in moving)


def missing(paths: Iterable[str], shipped: Shipped) -> Iterator[str]:
    """Yield files that are not there, or stay behind in the checkout."""
    for text in paths:
        path = Path(text)
        is_shipped = path.is_relative_to(shipped.root)
        if not path.exists() or (is_shipped and not shipped.is_installed(path)):
            yield text
