"""Parameters of the simulation node."""

from dataclasses import dataclass

from so101.config import option


@dataclass(frozen=True, kw_only=True)
class SimulationParams:
    """How the simulated arm and its cameras behave."""

    cameras: tuple[str, ...] = option(("wrist", "front"), "cameras to render; none in state mode")
    camera_height: int = option(240, "height of every image [px]", range=(32, 2160))
    camera_width: int = option(320, "width of every image [px]", range=(32, 3840))
    jpeg_quality: int = option(90, "JPEG quality", range=(1, 100))
    raw_images: bool = option(False, "publish every frame as it is too, besides JPEG")
    lockstep: bool = option(
        True, "wait for the answer of whoever is in control; false runs freely at `speed`"
    )
    speed: float = option(
        0.0,
        "simulated seconds per second; 0 as fast as it goes (lock-step only)",
        range=(0.0, 2.0),
    )
    simulated_latency: float = option(
        0.0, "simulated time between an observation and its chunk [s]", range=(0.0, 0.25)
    )
    check_collisions: bool = option(True, "the safety gate checks self and table collisions")
    reset_patience: float = option(
        5.0, "wait this long for the arm to be moved to its start before putting it there [s]"
    )
