"""Parameters of the recorder node."""

from dataclasses import dataclass

from so101.config import option


@dataclass(frozen=True, kw_only=True)
class RecorderParams:
    """What is recorded, and where to."""

    store: str = option("", "directory of the episode store")
    cameras: tuple[str, ...] = option(("wrist", "front"), "cameras that are recorded")
    images: str = option(
        "compressed",
        "frames that are recorded: JPEG, raw (only where the driver publishes them), or both",
        choices=("compressed", "raw", "both"),
    )
    aux: tuple[str, ...] = option((), "arrays of the policy that are recorded, such as noise")
    has_objects: bool = option(True, "object poses are published: simulation only")
    lockstep: bool = option(True, "log times are simulated time; false: time of arrival")
    min_free_gb: float = option(
        1.0, "no episode is begun with less free space [GB]", range=(0.0, 1e6)
    )
    continuous: bool = option(
        False, "one bag of everything from start to end; false: a bag per episode"
    )
    split_mb: float = option(
        1000.0, "a continuous bag goes on in its next file at this size [MB]", range=(1.0, 1e6)
    )
    split_s: float = option(
        600.0, "a continuous bag goes on in its next file after this time [s]", range=(1.0, 1e6)
    )
