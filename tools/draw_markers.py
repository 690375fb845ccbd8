"""Draws what RViz gets of an episode: docs/images/rviz_markers.png. It is no picture of RViz.

Run it from the repository's root on a bag with cameras and a takeover, at a moment in seconds:
``.venv/bin/python tools/draw_markers.py runs/default/episodes/... 6.5``. The robot is drawn from
the bag's ``robot_description`` and ``joint_states``, the rest from the camera images and from the
MarkerArray that marker_node makes of the bag's messages, seen as ``rviz/robot.rviz`` looks.
"""

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from visualization_msgs.msg import Marker

from marker_node.node import marker_of
from marker_node.params import MarkerParams
from marker_node.scene import Scene
from so101.arrays import FloatArray, ImageArray
from so101.config import load_yaml
from so101.data.bags.bag import open_bag
from so101.data.bags.messages import decode
from so101.episode import EpisodeState
from so101.events import ControlEvent, EpisodeEvent, from_message
from so101.kinematics.chain import Chain, rotation_from_rpy, so101_chain
from so101.robot import CAMERAS, so101
from so101.ros.convert import from_joint_command, from_joint_trajectory
from so101.ros.markers import to_markers
from so101.topics import (
    CONTROL_SOURCE,
    EPISODE,
    JOINT_STATES,
    POLICY_TRAJECTORY,
    ROBOT_DESCRIPTION,
    image_topic,
)

OUTPUT = Path("docs/images/rviz_markers.png")
HEIGHT, WIDTH, SIDE, GAP = 600, 800, 393, 8
SMOOTH = 2
FOVY = np.radians(45.0)  # RViz's
LIGHT = np.array([0.35, -0.5, 0.8])
Face = tuple[float, FloatArray, FloatArray, int]
"""Distance, corners [px], colour, and the width of a line [px] or -1 of a surface."""


class View:
    """RViz's orbit view."""

    def __init__(self, file: Path) -> None:
        """Look from where a file looks."""
        view = load_yaml(file)["Visualization Manager"]["Views"]["Current"]
        focus = np.array([view["Focal Point"][axis] for axis in "XYZ"])
        yaw, pitch = view["Yaw"], view["Pitch"]
        out = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
        self._eye = focus + view["Distance"] * out
        right = np.cross(-out, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        self._axes = np.stack([right, np.cross(-out, right), -out])
        self.focal = 0.5 * HEIGHT * SMOOTH / np.tan(0.5 * FOVY)

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return pixels, shape (n, 2), and distances [m], shape (n,)."""
        seen = (points - self._eye) @ self._axes.T
        depth = np.maximum(seen[:, 2], 1e-3)
        middle = np.array([WIDTH, HEIGHT]) * SMOOTH / 2
        return seen[:, :2] / depth[:, None] * self.focal + middle, depth


def messages(path: Path, until_s: float) -> Iterator[tuple[str, Any]]:
    """Yield a bag's messages, decoded, up to so long after its episode began."""
    bag = open_bag(path)
    begin_ns = None
    for message in bag.messages():
        name = message.topic.lstrip("/")
        if begin_ns is not None and message.log_time_ns > begin_ns + until_s * 1e9:
            return
        decoded = decode(message.data, bag.types[message.topic], f"{path}: {name}")
        if name == EPISODE.name and from_message(decoded).message == EpisodeState.RUNNING.value:
            begin_ns = message.log_time_ns
        yield name, decoded


def watch(path: Path, until_s: float) -> tuple[Any, str, FloatArray, dict[str, ImageArray]]:
    """Return the markers, the URDF, the joints and the images at a moment."""
    scene, urdf = Scene(so101_chain(), MarkerParams().trail), ""
    images: dict[str, Any] = {}
    positions = so101().home
    frames = {image_topic(camera).name: camera for camera in CAMERAS}
    for name, message in messages(path, until_s):
        if name == JOINT_STATES.name:
            stamp_ns, positions = from_joint_command(message)
            scene.on_state(stamp_ns, positions)
        elif name == POLICY_TRAJECTORY.name:
            scene.on_plan(from_joint_trajectory(message))
        elif name == EPISODE.name:
            scene.on_episode(EpisodeEvent.from_event(from_message(message)))
        elif name == CONTROL_SOURCE.name:
            scene.on_control(ControlEvent.from_event(from_message(message)))
        elif name == ROBOT_DESCRIPTION.name:
            urdf = message.data
        elif name in frames:
            images[frames[name]] = cv2.imdecode(
                np.frombuffer(bytes(message.data), np.uint8), cv2.IMREAD_COLOR
            )
    markers = to_markers([marker_of(each) for each in scene.drawings()], "base_link")
    return markers, urdf, positions, images


def robot_faces(urdf: str, chain: Chain, positions: FloatArray, view: View) -> Iterator[Face]:
    """Yield the surfaces of every part that the URDF shows."""
    root: Any = ElementTree.fromstring(urdf)
    colours = {
        material.get("name"): np.fromstring(material.find("color").get("rgba"), sep=" ")[:3]
        for material in root.findall("material")
    }
    for link in root.findall("link"):
        for part in link.findall("visual"):
            origin = part.find("origin")
            turn = rotation_from_rpy(*np.fromstring(origin.get("rpy"), sep=" "))
            at = np.fromstring(origin.get("xyz"), sep=" ")
            pose = chain.pose(positions, link.get("name"))
            colour = colours[part.find("material").get("name")]
            for face in solid(part.find("geometry")[0]):
                points = (face @ turn.T + at) @ pose[:3, :3].T + pose[:3, 3]
                yield from surface(points, colour, view)


def solid(shape: Any) -> Iterator[FloatArray]:
    """Yield the faces of a box or a cylinder, corners in order, seen from outside to the left."""
    if shape.tag == "box":
        corners, half = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]), 0.5
        size = np.fromstring(shape.get("size"), sep=" ")
    else:
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        corners, half = np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.5
        size = 2 * float(shape.get("radius")) * np.array([1.0, 1.0, 0.0])
        size[2] = float(shape.get("length"))
    ends = [np.column_stack([corners, np.full(len(corners), z)]) * size * half for z in (-1, 1)]
    yield ends[0][::-1]
    yield ends[1]
    for k in range(len(corners)):
        after = (k + 1) % len(corners)
        yield np.array([ends[0][k], ends[0][after], ends[1][after], ends[1][k]])


def surface(points: FloatArray, colour: FloatArray, view: View) -> Iterator[Face]:
    """Yield a face, shaded, unless it looks away."""
    pixels, depth = view.project(points)
    normal = np.cross(points[1] - points[0], points[2] - points[1])
    around = np.roll(pixels, -1, axis=0)
    area = (pixels[:, 0] * around[:, 1] - pixels[:, 1] * around[:, 0]).sum()
    if area < 0:  # pixels count downwards
        shade = 0.62 + 0.38 * normal @ LIGHT / np.linalg.norm(normal) / np.linalg.norm(LIGHT)
        yield float(depth.mean()), pixels, colour * shade, -1


def line_faces(marker: Marker, view: View) -> Iterator[Face]:
    """Yield the pieces of a line strip."""
    points = np.array([(point.x, point.y, point.z) for point in marker.points])
    pixels, depth = view.project(points)
    for k in range(len(points) - 1):
        colour = np.array([marker.colors[k].r, marker.colors[k].g, marker.colors[k].b])
        width = max(round(marker.scale.x * view.focal / depth[k]), 1)
        yield float(depth[k : k + 2].mean()), pixels[k : k + 2], colour, width


def grid_faces(view: View) -> Iterator[Face]:
    """Yield the desk's lines as RViz's grid has them."""
    for k in np.arange(-6, 7) * 0.1:
        for ends in ([(k, -0.6, 0), (k, 0.6, 0)], [(-0.6, k, 0), (0.6, k, 0)]):
            along = np.linspace(np.array(ends[0]), np.array(ends[1]), 25)
            pixels, _ = view.project(along)
            for j in range(len(along) - 1):
                yield 99.0, pixels[j : j + 2], np.full(3, 0.40), SMOOTH


def write_words(picture: ImageArray, marker: Marker, view: View) -> None:
    """Write a text marker: centred, letters as high as it says."""
    where = marker.pose.position
    (middle,), (depth,) = view.project(np.array([[where.x, where.y, where.z]]))
    font, lines = cv2.FONT_HERSHEY_SIMPLEX, marker.text.split("\n")
    height = marker.scale.z * view.focal / depth
    scale = height / 22.0  # a capital letter's height at scale 1 [px]
    for number, text in enumerate(lines):
        (width, _), _ = cv2.getTextSize(text, font, scale, 2 * SMOOTH)
        row = middle[1] + (number - (len(lines) - 1) / 2) * 1.5 * height + height / 2
        colour = [255 * each for each in (marker.color.b, marker.color.g, marker.color.r)]
        place = (round(middle[0] - width / 2), round(row))
        cv2.putText(picture, text, place, font, scale, colour, 2 * SMOOTH, cv2.LINE_AA)


def draw(markers: Any, faces: list[Face], view: View) -> ImageArray:
    """Paint what is far before what is near."""
    picture: Any = np.full((HEIGHT * SMOOTH, WIDTH * SMOOTH, 3), 48, np.uint8)
    for _, pixels, colour, width in sorted(faces, key=lambda face: -face[0]):
        bgr = (255 * np.clip(colour[::-1], 0, 1)).tolist()
        corners = np.round(pixels).astype(np.int32)
        if width < 0:
            cv2.fillPoly(picture, [corners], bgr, cv2.LINE_AA)
        else:
            cv2.line(picture, corners[0].tolist(), corners[1].tolist(), bgr, width, cv2.LINE_AA)
    for marker in markers:
        if marker.type == Marker.TEXT_VIEW_FACING:
            write_words(picture, marker, view)
    small: ImageArray = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return small


def main() -> None:
    """Draw and write the picture."""
    found, urdf, positions, images = watch(Path(sys.argv[1]), float(sys.argv[2]))
    view, markers = View(Path("rviz/robot.rviz")), [m for m in found.markers if m.action == 0]
    faces = [*grid_faces(view), *robot_faces(urdf, so101_chain(), positions, view)]
    lines = [marker for marker in markers if marker.type == Marker.LINE_STRIP]
    faces += [face for marker in lines for face in line_faces(marker, view)]
    side = [cv2.resize(images[camera], (SIDE, (HEIGHT - GAP) // 2)) for camera in CAMERAS]
    column = np.full((HEIGHT, SIDE + GAP, 3), 255, np.uint8)
    column[: len(side[0]), :SIDE], column[-len(side[1]) :, :SIDE] = side
    picture = np.hstack([column, draw(markers, faces, view)])
    cv2.imwrite(str(OUTPUT), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
