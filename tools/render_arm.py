"""Draws docs/images/arm_joints.png and arm_poses.png for the guide to a real arm.

Run it from the repository's root: ``.venv/bin/python tools/render_arm.py``. The arm is the
simulation's own, so what is drawn is what the driver believes.
"""

import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from so101.arrays import FloatArray, ImageArray
from so101.robot import GRIPPER, JOINTS, description_path, so101
from so101.simulation import gl
from so101.simulation.tasks.task import Start
from so101.simulation.world import World

FOLDER = Path("docs/images")
SIZE = (900, 1200)
FAR_AWAY = np.array([[9.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]])
FOVY_DEG = 45.0  # MuJoCo's own
BEND = (0.0, -0.35, 0.35, 0.75, 0.0, 0.7)
EYE, TARGET = (0.20, -0.60, 0.30), (0.16, 0.0, 0.13)
LABELS = {  # where a joint's name is written, in shares of the picture
    "shoulder_pan": (0.03, 0.80),
    "shoulder_lift": (0.03, 0.55),
    "elbow_flex": (0.10, 0.12),
    "wrist_flex": (0.68, 0.16),
    "wrist_roll": (0.78, 0.34),
    "gripper": (0.80, 0.62),
}
INK, PAPER, ACCENT = "#24292f", "#ffffff", "#c2410c"


def shaded_scene(folder: Path) -> Path:
    """Write the pick scene with fine shadows and edges, too slow for training; return its path."""
    spec = gl.load_mujoco().MjSpec.from_file(str(description_path("mjcf", "pick.xml")))
    spec.visual.quality.shadowsize = 4096
    spec.visual.quality.offsamples = 8
    spec.visual.map.shadowclip = 2.0
    path = folder / "shaded.xml"
    path.write_text(spec.to_xml(), encoding="utf-8")
    return path


def middle() -> FloatArray:
    """Return the middle pose of a calibration: every joint in the middle of its way [rad]."""
    spec = so101()
    pose = spec.poses["zero"].copy()
    pose[GRIPPER] = 0.5 * (spec.lower[GRIPPER] + spec.upper[GRIPPER])
    return pose


def seen(world: World, pose: FloatArray, eye: FloatArray, target: FloatArray) -> ImageArray:
    """Return a picture of the arm alone in a pose. Shape (height, width, 3)."""
    world.reset(Start(positions=pose, objects=FAR_AWAY))
    return world.render_view(eye, target)


def anchors(pose: FloatArray) -> FloatArray:
    """Return where each joint turns, in the world [m]. Shape (joints, 3)."""
    mujoco = gl.load_mujoco()
    model = mujoco.MjModel.from_xml_path(str(description_path("mjcf", "so101.xml")))
    data = mujoco.MjData(model)
    for name, position in zip(JOINTS, pose, strict=True):
        data.joint(name).qpos = position
    mujoco.mj_forward(model, data)
    return np.array([data.joint(name).xanchor for name in JOINTS])


def pixels(points: FloatArray, eye: FloatArray, target: FloatArray) -> FloatArray:
    """Return where points of the world are in a picture of `SIZE` [px]. Shape (points, 2)."""
    ahead = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(ahead, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    focal = 0.5 * SIZE[0] / np.tan(0.5 * np.radians(FOVY_DEG))
    rays = points - eye
    depth = rays @ ahead
    x = 0.5 * SIZE[1] + focal * (rays @ right) / depth
    y = 0.5 * SIZE[0] - focal * (rays @ up) / depth
    return np.stack([x, y], axis=1)


def draw_joints(world: World) -> None:
    """Write the arm with every joint's name and id."""
    pose, eye, target = np.array(BEND), np.array(EYE), np.array(TARGET)
    figure, axes = plt.subplots(figsize=(8.0, 6.0))
    axes.imshow(seen(world, pose, eye, target))
    for number, (name, at) in enumerate(
        zip(JOINTS, pixels(anchors(pose), eye, target), strict=True), start=1
    ):
        x, y = LABELS[name]
        axes.annotate(
            f"{number}  {name}",
            xy=(float(at[0]), float(at[1])),
            xytext=(x * SIZE[1], y * SIZE[0]),
            fontsize=12,
            color=INK,
            bbox={"boxstyle": "round,pad=0.35", "fc": PAPER, "ec": INK, "lw": 0.8},
            arrowprops={"arrowstyle": "-|>", "color": ACCENT, "lw": 1.6},
        )
    save(figure, "arm_joints.png")


def draw_poses(world: World) -> None:
    """Write the poses that a person puts the arm into, and the one it goes to by itself."""
    spec = so101()
    eye, target = np.array((0.27, -0.58, 0.27)), np.array((0.17, 0.0, 0.13))
    panels = {
        "middle: every joint half way": middle(),
        "rest: it can be let go": spec.poses["rest"],
        "home: where episodes begin": spec.poses["home"],
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(12.0, 3.4))
    for panel, (title, pose) in zip(axes, panels.items(), strict=True):
        panel.imshow(seen(world, pose, eye, target))
        panel.set_title(title, fontsize=12, color=INK, pad=8)
    save(figure, "arm_poses.png")


def save(figure: Any, name: str) -> None:
    """Write a figure without axes."""
    for axes in figure.axes:
        axes.set_axis_off()
    figure.tight_layout(pad=0.8)
    path = FOLDER / name
    figure.savefig(
        path, dpi=100, facecolor=PAPER, bbox_inches="tight", metadata={"Software": None}
    )
    plt.close(figure)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Draw both."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(camera_size=SIZE, scene=shaded_scene(Path(folder)))
    draw_joints(world)
    draw_poses(world)
    world.close()


if __name__ == "__main__":
    main()
