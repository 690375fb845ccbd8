"""What moves the arm, and takes it over, loads no learning: it runs when all of that is dead."""

import subprocess
import sys

import pytest

HEAVY = (
    *("torch", "torchvision", "safetensors", "lerobot", "learner_node", "so101.policies"),
    *("mujoco", "scipy", "matplotlib", "pandas", "gymnasium"),
)


@pytest.mark.ros
@pytest.mark.parametrize(
    "modules",
    [
        ("teleop_node.node", "teleop_node.hand", "so101.kinematics.tool_motion"),
        ("intervention_node.node",),
        ("so101.ros.joy_keyboard",),
        ("hardware_node.node",),  # MuJoCo comes with its collision model, when it is made
        ("camera_node.node",),
    ],
)
def test_neither_torch_nor_policies_nor_physics_are_imported(modules):
    code = f"import sys, {', '.join(modules)}\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
