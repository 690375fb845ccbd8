"""The training loop: dataset -> algorithm -> metrics, resumable to the bit on one CPU.

Budgets are step counts and batches are drawn from (seed, step), so a run that was killed and
resumed ends with the same weights as one that was not. It neither knows where data comes from nor
where checkpoints go.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch

from learner_node.algorithms.algorithm import Algorithm, ChunkSource, Metrics
from so101.config import option
from so101.errors import TrainingError

_ALGORITHM = "algorithm/"


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """Settings of the loop."""

    save_every: int = option(500, "Steps between two saves of the training state.", range=(1, 1e7))
    report_every: int = option(50, "Steps between two progress reports.", range=(1, 1e7))
    max_bad_steps: int = option(
        20, "Skipped steps (loss not finite) in a row after which training stops.", range=(1, 1e6)
    )
    device: str = option("cpu", "Where the network trains: cpu, cuda or cuda:1.")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far training is.

    Attributes:
        step: Steps done.
        steps: Steps to do.
        loss: Mean loss since the last report, skipped steps left out.
        skipped: Steps skipped so far because the loss was not finite.
        values: The algorithm's other numbers, of the newest step.
    """

    step: int
    steps: int
    loss: float
    skipped: int
    values: Mapping[str, float]


def batch_rng(seed: int, step: int) -> np.random.Generator:
    """Return what a step's batch is drawn with."""
    return np.random.default_rng([seed, step])


def algorithm_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the algorithm's part of a training state."""
    return {
        key.removeprefix(_ALGORITHM): v for key, v in state.items() if key.startswith(_ALGORITHM)
    }


class End(str, Enum):
    """Why the loop ended."""

    DONE = "done"
    STOPPED = "stopped"


class Trainer:
    """Runs an algorithm for a number of steps."""

    def __init__(
        self,
        algorithm: Algorithm,
        source: ChunkSource,
        *,
        steps: int,
        seed: int,
        config: TrainerConfig | None = None,
    ) -> None:
        """Start at step 0; `load_state_dict` goes on from a saved state."""
        self._algorithm, self._source = algorithm, source
        self._steps, self._seed = steps, seed
        self._config = config or TrainerConfig()
        self._step = self._skipped = self._bad_in_a_row = 0
        self._losses: list[float] = []
        self._curve: list[tuple[int, float]] = []

    @property
    def step(self) -> int:
        """Steps done."""
        return self._step

    @property
    def loss_curve(self) -> tuple[tuple[int, float], ...]:
        """Step and mean loss of each report so far."""
        return tuple(self._curve)

    @property
    def skipped(self) -> int:
        """Steps skipped so far."""
        return self._skipped

    def run(
        self,
        *,
        save: Callable[[Mapping[str, torch.Tensor]], None] | None = None,
        report: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> End:
        """Train until done or told to stop; the state is saved on the way and at a stop.

        Raises:
            TrainingError: The loss was not finite for too many steps in a row.
        """
        while self._step < self._steps:
            if should_stop is not None and should_stop():
                if save is not None:
                    save(self.state_dict())
                return End.STOPPED
            metrics = self._advance()
            if self._step % self._config.report_every == 0 or self._step == self._steps:
                self._report(metrics, report)
            if save is not None and self._step % self._config.save_every == 0:
                save(self.state_dict())
        return End.DONE

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return everything that makes going on exact."""
        state = {f"{_ALGORITHM}{key}": v for key, v in self._algorithm.state_dict().items()}
        counters = [self._step, self._skipped, self._bad_in_a_row, self._seed, self._steps]
        state["counters"] = torch.tensor(counters, dtype=torch.int64)
        state["losses"] = torch.tensor(self._losses, dtype=torch.float64)
        state["curve"] = torch.tensor(self._curve, dtype=torch.float64).reshape(-1, 2)
        return state

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from `state_dict`.

        Raises:
            TrainingError: It belongs to another run.
        """
        try:
            counters = state["counters"].tolist()
            losses, curve = state["losses"].tolist(), state["curve"].tolist()
        except KeyError as error:
            raise TrainingError(f"training state: {error.args[0]} is missing") from error
        if counters[3:] != [self._seed, self._steps]:
            raise TrainingError(
                f"training state: is of seed {counters[3]} and {counters[4]} steps, "
                f"this run has seed {self._seed} and {self._steps} steps"
            )
        self._algorithm.load_state_dict(algorithm_state(state))
        self._step, self._skipped, self._bad_in_a_row = counters[:3]
        self._losses = losses
        self._curve = [(int(step), loss) for step, loss in curve]

    def _advance(self) -> Metrics:
        batch = self._source.chunks(batch_rng(self._seed, self._step), self._algorithm.batch_size)
        metrics = self._algorithm.update(batch)
        self._step += 1
        if not metrics.skipped:
            self._bad_in_a_row = 0
            self._losses.append(metrics.loss)
            return metrics
        self._skipped += 1
        self._bad_in_a_row += 1
        if self._bad_in_a_row >= self._config.max_bad_steps:
            raise TrainingError(
                f"the loss was not finite in {self._bad_in_a_row} steps in a row "
                f"(step {self._step} of {self._steps}); nothing is published"
            )
        return metrics

    def _report(self, metrics: Metrics, report: Callable[[Progress], None] | None) -> None:
        loss = float(np.mean(self._losses)) if self._losses else float("nan")
        if self._losses:
            self._curve.append((self._step, loss))
        self._losses = []
        if report is not None:
            report(
                Progress(
                    step=self._step,
                    steps=self._steps,
                    loss=loss,
                    skipped=self._skipped,
                    values=metrics.values,
                )
            )
