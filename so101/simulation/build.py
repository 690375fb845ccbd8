"""Puts a simulated work cell together: the one place where its parts are chosen."""

from collections.abc import Sequence

from so101.control.arm_loop import ArmLoop
from so101.control.filters import GoalFilter
from so101.control.safety import SafetyGate
from so101.kinematics.collision import CollisionModel
from so101.robot import CAMERAS, so101
from so101.simulation.cell import SimulatedCell
from so101.simulation.world import World


def make_cell(
    *,
    cameras: tuple[str, ...] = CAMERAS,
    camera_size: tuple[int, int] = (240, 320),
    check_collisions: bool = True,
    filters: Sequence[GoalFilter] = (),
) -> SimulatedCell:
    """Return a simulated arm behind its arm loop and gate.

    Args:
        cameras: Cameras to render at every policy tick; none need no OpenGL.
        camera_size: Height and width of the images [px].
        check_collisions: The gate checks self and table collisions.
        filters: Between the followed trajectory and the gate.

    Raises:
        RenderError: Cameras are wanted and no OpenGL back-end works.
    """
    spec = so101()
    world = World(cameras=cameras, camera_size=camera_size)
    gate = SafetyGate(spec, CollisionModel() if check_collisions else None)
    return SimulatedCell(world, ArmLoop(world, spec, gate, filters), cameras)
