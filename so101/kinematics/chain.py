"""Forward kinematics and Jacobians of a tree of revolute joints, in numpy.

Every joint's transform is ``A + B cos(q) + C sin(q)`` with constant 4x4 matrices, so a pose costs
one vectorised expression and one small product per joint.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from so101.arrays import FloatArray
from so101.errors import ConfigError
from so101.kinematics.urdf import robot_description
from so101.robot import BASE_FRAME, JOINTS

GRASP_FRAME = "grasp_frame_link"
"""Centre of a held object: z points along the fingers, x from the moving to the fixed jaw."""


@dataclass(frozen=True, kw_only=True)
class _Joint:
    """One joint element of a URDF."""

    name: str
    is_moving: bool
    parent: str
    child: str
    origin: FloatArray
    axis: FloatArray


@dataclass(frozen=True, kw_only=True)
class _Path:
    """How a frame hangs on the base: the joints above it, then a constant transform."""

    joints: tuple[int, ...]
    tail: FloatArray


class Chain:
    """Poses and Jacobians of the frames of one robot, relative to its base frame."""

    def __init__(self, *, names: tuple[str, ...], tree: Sequence[_Joint], base: str) -> None:
        """Precompute the constant parts; use `from_urdf`."""
        self.joints = names
        count = len(names)
        self._constant, self._cosine, self._sine = np.zeros((3, count, 16))
        self._axes = np.zeros((count, 3))
        by_child = {joint.child: joint for joint in tree}
        self._paths = {base: _Path(joints=(), tail=np.eye(4))}
        for joint in tree:
            if _hangs_on(joint.child, base, by_child):
                self._add_frame(joint.child, by_child)

    @classmethod
    def from_urdf(
        cls, text: str, *, joints: Sequence[str] | None = None, base: str = BASE_FRAME
    ) -> "Chain":
        """Parse a URDF with revolute, continuous and fixed joints.

        Args:
            text: The URDF.
            joints: Order of the joints in position vectors; None for the URDF's order.
            base: Frame that poses are relative to.

        Raises:
            ConfigError: The joints are not those of the URDF, one has another type, or the base
                frame does not exist.
        """
        tree = [_parse_joint(element) for element in ElementTree.fromstring(text).findall("joint")]
        moving = [joint.name for joint in tree if joint.is_moving]
        names = tuple(moving if joints is None else joints)
        if sorted(names) != sorted(moving):
            raise ConfigError(f"URDF: its joints are {', '.join(moving)}, not {', '.join(names)}")
        if base not in {joint.parent for joint in tree}:
            raise ConfigError(f"URDF: no joint hangs on the base frame {base!r}")
        return cls(names=names, tree=tree, base=base)

    @property
    def frames(self) -> tuple[str, ...]:
        """Names of all frames, the base first."""
        return tuple(self._paths)

    def pose(self, positions: FloatArray, frame: str) -> FloatArray:
        """Return the pose of a frame in the base frame.

        Args:
            positions: Joint positions [rad]. Shape (joints,).
            frame: A link name.

        Returns:
            Homogeneous transform [m]. Shape (4, 4).

        Raises:
            ConfigError: The frame does not exist.
        """
        path = self._path(frame)
        local = self._local(positions)
        transform = path.tail
        for index in reversed(path.joints):
            transform = local[index].dot(transform)  # .dot: half the time of @ on 4x4
        return transform.copy() if transform is path.tail else transform

    def jacobian(
        self, positions: FloatArray, frame: str, *, offset: FloatArray | None = None
    ) -> FloatArray:
        """Return the geometric Jacobian of a point of a frame, in the base frame.

        Args:
            positions: Joint positions [rad]. Shape (joints,).
            frame: A link name.
            offset: The point in that frame [m], its origin by default. Shape (3,).

        Returns:
            Rows: linear velocity [m/rad], then angular velocity. Shape (6, joints).

        Raises:
            ConfigError: The frame does not exist.
        """
        return self.pose_and_jacobian(positions, frame, offset=offset)[1]

    def pose_and_jacobian(
        self, positions: FloatArray, frame: str, *, offset: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return `pose` and `jacobian` for the price of one."""
        path = self._path(frame)
        local = self._local(positions)
        columns = list(path.joints)
        joints = np.empty((len(columns), 4, 4))
        transform = np.eye(4)
        for row, index in enumerate(columns):
            transform = transform.dot(local[index], out=joints[row])
        axes = np.matmul(joints[:, :3, :3], self._axes[columns, :, None])[:, :, 0]
        transform = transform.dot(path.tail)
        point = transform[:3, 3]
        if offset is not None:
            point = point + transform[:3, :3].dot(offset)
        jacobian = np.zeros((6, len(self.joints)))
        jacobian[:3, columns] = _cross(axes, point - joints[:, :3, 3]).T
        jacobian[3:, columns] = axes.T
        return transform, jacobian

    def _path(self, frame: str) -> _Path:
        try:
            return self._paths[frame]
        except KeyError:
            known = ", ".join(self._paths)
            raise ConfigError(f"no frame {frame!r}; known frames: {known}") from None

    def _local(self, positions: FloatArray) -> FloatArray:
        """Return the transform of every joint. Shape (joints, 4, 4)."""
        angles = np.asarray(positions, dtype=np.float64)[:, None]
        flat = self._constant + np.cos(angles) * self._cosine + np.sin(angles) * self._sine
        return flat.reshape(-1, 4, 4)

    def _add_frame(self, child: str, by_child: dict[str, _Joint]) -> _Path:
        if child in self._paths:
            return self._paths[child]
        joint = by_child[child]
        parent = self._add_frame(joint.parent, by_child)
        origin = parent.tail @ joint.origin
        if not joint.is_moving:
            path = _Path(joints=parent.joints, tail=origin)
        else:
            index = self.joints.index(joint.name)
            self._axes[index] = joint.axis
            along: FloatArray = joint.axis[:, None] * joint.axis
            self._constant[index] = (origin @ _embed(along, corner=1.0)).ravel()
            self._cosine[index] = (origin @ _embed(np.eye(3) - along)).ravel()
            self._sine[index] = (origin @ _embed(_skew(joint.axis))).ravel()
            path = _Path(joints=(*parent.joints, index), tail=np.eye(4))
        self._paths[child] = path
        return path


@cache
def so101_chain() -> Chain:
    """Return the chain of the shipped SO-101, joints in the order of `so101.robot.JOINTS`."""
    return Chain.from_urdf(robot_description(), joints=JOINTS)


def rotation_from_rpy(roll: float, pitch: float, yaw: float) -> FloatArray:
    """Return the rotation of URDF's rpy: about the fixed x, then y, then z axis. Shape (3, 3)."""
    sr, cr = np.sin(roll), np.cos(roll)
    sp, cp = np.sin(pitch), np.cos(pitch)
    sy, cy = np.sin(yaw), np.cos(yaw)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def _parse_joint(element: ElementTree.Element) -> _Joint:
    name, kind = element.attrib["name"], element.attrib["type"]
    if kind not in ("revolute", "continuous", "fixed") or element.find("mimic") is not None:
        raise ConfigError(f"URDF joint {name!r}: type {kind} or mimic is not supported")
    origin = np.eye(4)
    placed = element.find("origin")
    if placed is not None:
        origin[:3, :3] = rotation_from_rpy(*_numbers(placed.get("rpy", "0 0 0")))
        origin[:3, 3] = _numbers(placed.get("xyz", "0 0 0"))
    turned = element.find("axis")
    axis = _numbers("1 0 0" if turned is None else turned.get("xyz", "1 0 0"))
    return _Joint(
        name=name,
        is_moving=kind != "fixed",
        parent=_link(element, "parent"),
        child=_link(element, "child"),
        origin=origin,
        axis=axis / np.linalg.norm(axis) if kind != "fixed" else axis,
    )


def _link(element: ElementTree.Element, role: str) -> str:
    found = element.find(role)
    if found is None:
        raise ConfigError(f"URDF joint {element.get('name')!r}: no {role} link")
    return found.attrib["link"]


def _numbers(text: str) -> FloatArray:
    return np.array([float(word) for word in text.split()])


def _hangs_on(link: str, base: str, by_child: dict[str, _Joint]) -> bool:
    while link != base and link in by_child:
        link = by_child[link].parent
    return link == base


def _embed(rotation: FloatArray, corner: float = 0.0) -> FloatArray:
    transform = np.zeros((4, 4))
    transform[:3, :3] = rotation
    transform[3, 3] = corner
    return transform


def _skew(axis: FloatArray) -> FloatArray:
    x, y, z = axis
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _cross(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return row-wise cross products; several times faster than `np.cross` on few rows."""
    return left[:, [1, 2, 0]] * right[:, [2, 0, 1]] - left[:, [2, 0, 1]] * right[:, [1, 2, 0]]
