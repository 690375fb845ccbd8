"""Parameters of the recorder node."""

from dataclasses import dataclass

from so101.config import option


@dataclass(frozen=True, kw_only=True)
class RecorderParams:
    """What is recorded, and where to."""

    store: str = option("", "directory of the episode store")
    cameras: tuple[str, ...] = option(("wrist", "front"), "cameras that are recorded")
    aux: tuple[str, ...] = option((), "arrays of the policy that are recorded, such as noise")
    has_objects: bool = option(True, "object poses are published: simulation only")
    lockstep: bool = option(True, "log times are simulated time; false: time of arrival")
    min_free_gb: float = option(
        1.0, "no episode is begun with less free space [GB]", range=(0.0, 1e6)
    )
