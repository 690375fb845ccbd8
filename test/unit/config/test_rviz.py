"""RViz understands its files, and finds in them what this robot publishes."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from rviz_schema import FILE, misread

from marker_node.scene import TEXT_M, WORDS_AT
from so101.config import load_yaml
from so101.kinematics.chain import GRASP_FRAME, so101_chain
from so101.kinematics.urdf import robot_description
from so101.robot import CAMERAS, so101
from so101.topics import MARKERS, ROBOT_DESCRIPTION, image_topic
from so101_bringup.graph import GRAPHS, GraphOptions

ROOT = Path(__file__).resolve().parents[3]
FILES = {path.stem: load_yaml(path) for path in sorted((ROOT / "rviz").glob("*.rviz"))}
TRANSPORTS = ("compressed", "compressedDepth", "theora")
"""Endings of a topic's name by which RViz's image display takes a transport, else raw."""

MOVEITS = ("monitored_planning_scene", "display_planned_path")


def displays(use, kind):
    found = FILES[use]["Visualization Manager"]["Displays"]
    return [each for each in found if each["Class"].rpartition("/")[2] == kind]


def topics_in(values):
    """Yield the topics that a display listens to, with their quality of service."""
    for key, value in values.items():
        if key.endswith("Topic"):
            yield value if isinstance(value, dict) else {"Value": value}
        elif isinstance(value, dict):
            yield from topics_in(value)


@pytest.mark.parametrize("use", FILES)
def test_rviz_reads_everything_in_a_file(use):
    assert list(misread(FILES[use], FILE)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Class": "rviz_default_plugins/Robot"}, ": rviz_default_plugins/Robot"),
        ({"Class": "rviz_default_plugins/TF", "Marker Size": 1}, "/Marker Size: unknown"),
        ({"Class": "rviz_default_plugins/Grid", "Color": "1; 2"}, "/Color: '1; 2'"),
        ({"Class": "rviz_default_plugins/TF", "Enabled": 1}, "/Enabled: 1"),
    ],
)
def test_what_rviz_would_pass_over_is_found(change, words):
    (found,) = misread({"Visualization Manager": {"Displays": [change]}}, FILE)
    assert found.endswith(words)


@pytest.mark.parametrize("use", FILES)
def test_the_fixed_frame_is_the_description_s_root_and_topics_have_no_slash(use):
    urdf = ElementTree.fromstring(robot_description())
    children = {joint.find("child").get("link") for joint in urdf.findall("joint")}
    (root,) = {link.get("name") for link in urdf.findall("link")} - children
    manager = FILES[use]["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == root == "world"
    ours = {MARKERS.name, ROBOT_DESCRIPTION.name, *map(image_name, CAMERAS)}
    for display in manager["Displays"]:
        for topic in topics_in(display):
            assert topic["Value"] in (*ours, *MOVEITS)  # in a namespace they are that robot's


def image_name(camera):
    return image_topic(camera).name


@pytest.mark.parametrize("use", ["robot", "replay"])
def test_a_session_shows_the_robot_its_frames_its_cameras_and_the_markers(use):
    (model,), (frames,) = displays(use, "RobotModel"), displays(use, "TF")
    assert model["Description Topic"]["Durability Policy"] == "Transient Local"
    assert model["Enabled"] and frames["Enabled"]
    (markers,) = displays(use, "MarkerArray")
    assert markers["Topic"]["Value"] == MARKERS.name and markers["Enabled"]
    shown = [each["Topic"]["Value"] for each in displays(use, "Image")]
    assert shown == [image_name(camera) for camera in CAMERAS]
    for name in shown:
        base, _, transport = name.rpartition("/")
        assert transport in TRANSPORTS and base.endswith("image_raw")


@pytest.mark.parametrize("use", FILES)
def test_arm_and_words_are_in_the_picture_that_a_file_begins_with(use):
    """RViz sees 45 degrees from top to bottom, and a window is wider than high."""
    view = FILES[use]["Visualization Manager"]["Views"]["Current"]
    yaw, pitch = view["Yaw"], view["Pitch"]
    out = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    focus = np.array([view["Focal Point"][axis] for axis in "XYZ"])
    eye = focus + view["Distance"] * out
    right = np.cross(-out, [0, 0, 1])
    axes = np.stack([right / np.linalg.norm(right), np.cross(right, -out), -out])
    grasp = so101_chain().pose(so101().home, GRASP_FRAME)[:3, 3]
    above = WORDS_AT[0] + [0, 0, 2 * TEXT_M]
    for point in ([0.0, 0.0, 0.0], grasp, above):
        seen = axes @ (point - eye)
        assert np.abs(seen[:2] / seen[2]).max() < 0.95 * np.tan(np.radians(22.5))


def test_moveits_goal_can_be_dragged():
    tools = [tool["Class"] for tool in FILES["moveit"]["Visualization Manager"]["Tools"]]
    assert tools[0] == "rviz_default_plugins/Interact"
    (planning,) = displays("moveit", "MotionPlanning")
    assert planning["Planning Request"]["Planning Group"] == "arm"


def test_every_file_is_of_some_use():
    options = GraphOptions(robot="sim", launch_rviz=True, bag=str(ROOT / "test/golden/episode"))
    nodes = [node for use in ("rl", "view", "moveit", "replay") for node in GRAPHS[use](options)]
    shown = [Path(node.arguments[1]).stem for node in nodes if node.package == "rviz2"]
    assert shown == ["robot", "view", "moveit", "replay"]
    assert set(shown) == set(FILES)
