"""Fine-tuning from a run's bags in this process: the learner node's job without the node."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from learner_node import training
from learner_node.fine_tuning import fine_tuning_job, open_job, request_of
from learner_node.params import LearnerParams
from learner_node.planning import TrainingRequest
from learner_node.trainer import Progress, TrainerConfig
from so101.config import from_mapping
from so101.data.stores.episode_store import EpisodeStore
from so101.errors import StoreError
from so101_bringup.claims import claimed_store
from so101_bringup.paths import RunPaths

INTERRUPTED = 130
REPORTS = 20
"""Progress lines of a training."""


def train(
    root: Path,
    *,
    is_state: bool,
    steps: int,
    seed: int,
    say: Callable[[str], None],
    episodes: EpisodeStore | None = None,
    others: Mapping[str, Any] | None = None,
) -> int:
    """Run the fine-tuning that the store's demonstrations ask for, from wherever it was.

    Args:
        root: Directory of the run.
        is_state: The policy sees object poses instead of cameras.
        steps: Training steps; 0 as found good for the mode.
        seed: Of weights, batches and noise.
        say: Takes each line for the person.
        episodes: What to learn from instead of the run's own store.
        others: More of the learner's parameters, such as algorithm, base and tuning; and as
            ``reader`` how bags are read, of `so101.data.episodes.segments.ReaderConfig`.

    Returns:
        The exit code.

    Raises:
        ConfigError: There is no such algorithm, or another parameter is wrong.
        CheckpointError: The base is damaged, or does not fit the robot.
        StoreError: There are no episodes, or the store is in use.
        TrainingError: The job cannot be done.
    """
    paths = RunPaths(root=root)
    if episodes is None and not paths.episodes.is_dir():
        raise StoreError(f"{paths.episodes}: no such directory; record demonstrations first")
    values = {**(others or {}), "uses_objects": is_state, "steps": steps, "seed": seed}
    params, request = _asked({**values, "cameras": []} if is_state else values)
    with claimed_store(root, "so101 train"), _stop_question() as should_stop:
        store = episodes or EpisodeStore(paths.episodes)
        job = fine_tuning_job(request, store, paths.checkpoints, base=params.base)
        bags = training.counted(len(job.episodes), "bag")
        say(f"so101 train: {bags} of demonstrations, {job.steps} steps, job {job.name}")
        checkpoint = training.run(
            open_job(root / "jobs", job),
            store,
            paths.checkpoints,
            trainer_config=TrainerConfig(device=params.device),
            on_dataset=lambda dataset: say(training.describe(dataset)),
            report=_report(say, job.steps),
            should_stop=should_stop,
        )
    if checkpoint is None:
        say("so101: interrupted; the same command goes on where it was")
        return INTERRUPTED
    say(f"checkpoint {checkpoint.path}")
    return 0


def _asked(values: Mapping[str, Any]) -> tuple[LearnerParams, TrainingRequest]:
    """Return the learner's parameters among values, and what they ask for, read as they say."""
    params = from_mapping(
        LearnerParams, {k: v for k, v in values.items() if k != "reader"}, "so101 train"
    )
    request, reader = request_of(params), values.get("reader")
    if reader:
        request = replace(request, dataset={**request.dataset, "reader": reader})
    return params, request


def _report(say: Callable[[str], None], steps: int) -> Callable[[Progress], None]:
    reported = -1

    def report(progress: Progress) -> None:
        nonlocal reported
        part = progress.step * REPORTS // steps
        if part > reported:
            reported = part
            say(f"{progress.step:>6}/{steps} steps, loss {progress.loss:.4f}")

    return report


@contextmanager
def _stop_question() -> Iterator[Callable[[], bool]]:
    """Yield whether Ctrl-C was pressed: once asks to stop between two steps, twice interrupts.

    Before the first step is asked about, as while the bags are read, once interrupts as well.
    """
    asked, is_training = False, False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked or not is_training:
            raise KeyboardInterrupt
        asked = True

    def should_stop() -> bool:
        nonlocal is_training
        is_training = True
        return asked

    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield should_stop
    finally:
        signal.signal(signal.SIGINT, previous)
