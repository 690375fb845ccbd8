"""Parameters of the policy node."""

from dataclasses import dataclass

from so101.config import option


@dataclass(frozen=True, kw_only=True)
class PolicyParams:
    """What the policy sees and how it runs."""

    cameras: tuple[str, ...] = option(
        ("wrist", "front"), "cameras of this robot; none in state mode"
    )
    uses_objects: bool = option(False, "object poses are observed: state mode, simulation only")
    schedule: str = option(
        "async",
        "when the policy looks: sync (its chunk is over, the arm stands), async (its chunk runs), "
        "rtc (as async, the chunk in force goes on in the new one), ensemble (mean of chunks)",
        choices=("sync", "async", "rtc", "ensemble"),
    )
    decision_ticks: int = option(
        8,
        "policy ticks from one chunk to the next; a checkpoint with others is refused",
        range=(1, 300),
    )
    checkpoint: str = option("", "directory of a checkpoint to load at the start")
    server: str = option(
        "", "address of the server that infers, ws://host:port or wss://host:port; empty for none"
    )
    server_token_file: str = option(
        "", "file with the server's token, readable by its owner only; else SO101_TOKEN"
    )
    server_ca: str = option(
        "", "certificates that are trusted for wss, PEM; the machine's if empty"
    )
    latency: float = option(
        0.0,
        "time from an observation to its chunk, simulated or real [s]; bounds the playback speed",
        range=(0.0, 1.0),
    )
    inference_timeout: float = option(
        1.0,
        "an inference that runs longer hangs: no sign of life until it is over; of a server, the "
        "longest wait for its answer [s]",
        range=(0.05, 600.0),
    )
    max_image_skew: float = option(
        0.05,
        "an image this much older than another camera's is left out, and nothing decided then [s]",
        range=(0.0, 1.0),
    )
    seed: int = option(0, "seed of the noise, with the episode's own", range=(0, 1_000_000))
    lockstep: bool = option(True, "wait for samples of the very tick; true in simulation")
    aux: tuple[str, ...] = option(
        (), "arrays of the policy that are published with every chunk, such as noise"
    )
    task: str = option("", "instruction until the task topic says another")
