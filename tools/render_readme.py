"""Draws docs/images/so101_sim.png: the simulated arm at work, and what its two cameras see.

Run it from the repository's root: ``.venv/bin/python tools/render_readme.py``. It uses the
shipped scene with shadows and smooth edges, which are too slow for training.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np

from so101.arrays import FloatArray, ImageArray
from so101.clock import POLICY_GRID
from so101.observation import Observation
from so101.robot import description_path
from so101.simulation import gl
from so101.simulation.demonstrator import Imperfection, ScriptedDemonstrator
from so101.simulation.tasks.pick import PickTask
from so101.simulation.tasks.task import Start
from so101.simulation.world import World

OUTPUT = Path("docs/images/so101_sim.png")
SEED = 11
MOMENT_TICK = 66  # the cube leaves the desk
HEIGHT, WIDTH = 480, 640
GAP = 8
EYE, TARGET = (0.47, -0.34, 0.25), (0.12, 0.01, 0.10)


def pretty_scene(folder: Path) -> Path:
    """Write the pick scene with shadows, smooth edges and a soft light; return its path."""
    spec = gl.load_mujoco().MjSpec.from_file(str(description_path("mjcf", "pick.xml")))
    spec.visual.quality.shadowsize = 4096
    spec.visual.quality.offsamples = 8
    spec.visual.quality.numslices = 48
    spec.visual.map.shadowclip = 2.0
    path = folder / "pretty.xml"
    path.write_text(spec.to_xml(), encoding="utf-8")
    return path


def play(world: World, start: Start, ticks: int) -> FloatArray:
    """Let the clean expert act for some policy ticks; return its last command [rad]."""
    demonstrator = ScriptedDemonstrator(PickTask(), Imperfection.none())
    demonstrator.reset(SEED)
    world.reset(start)
    command = start.positions
    for tick in range(ticks):
        if tick % 8 == 0:
            state = world.read_state()
            chunk = demonstrator.act(
                Observation(
                    stamp_ns=POLICY_GRID.stamp(tick),
                    positions=state.positions,
                    velocities=state.velocities,
                    effort=state.effort,
                    command=command,
                    objects=world.objects(),
                )
            )
        point = chunk.positions[tick % 8]
        for share in (0.0, 0.5):
            world.write_goal(command + share * (point - command))
            world.advance()
        command = point
    return command


def compose(view: ImageArray, cameras: list[ImageArray]) -> ImageArray:
    """Put the view on the left and the cameras' pictures below each other on the right."""
    height = (HEIGHT - GAP) // 2
    width = height * WIDTH // HEIGHT
    picture = np.full((HEIGHT, WIDTH + GAP + width, 3), 255, dtype=np.uint8)
    picture[:, :WIDTH] = cv2.resize(view, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    small = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in cameras]
    picture[:height, -width:], picture[-height:, -width:] = small
    return picture


def main() -> None:
    """Draw and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(camera_size=(2 * HEIGHT, 2 * WIDTH), scene=pretty_scene(Path(folder)))
    play(world, PickTask().start(SEED), MOMENT_TICK)
    view = world.render_view(np.array(EYE), np.array(TARGET))
    picture = compose(view, [world.render("wrist"), world.render("front")])
    world.close()
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(OUTPUT), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{OUTPUT}: {OUTPUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
