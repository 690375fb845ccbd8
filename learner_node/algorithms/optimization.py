"""What imitating algorithms share: AdamW, clipping, averaged weights, and exact resuming.

The exponential moving average of the weights is what acts; a step whose loss or gradient is not
finite changes nothing.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from learner_node.algorithms.algorithm import Metrics
from so101.errors import TrainingError
from so101.policies.policy import TrainablePolicy


@dataclass(frozen=True, kw_only=True)
class OptimizationConfig:
    """Settings of the optimiser.

    Attributes:
        learning_rate: Learning rate where a step names none.
        weight_decay: Of AdamW.
        grad_clip: Largest gradient norm.
        ema_decay: Of the weights that act.
    """

    learning_rate: float
    weight_decay: float
    grad_clip: float
    ema_decay: float


class Optimization:
    """Changes a policy's weights in place and keeps their average."""

    def __init__(self, policy: TrainablePolicy, config: OptimizationConfig) -> None:
        """Take over a policy; the average begins at its present weights."""
        self._policy, self._config = policy, config
        self._parameters: list[torch.Tensor] = list(policy.parameters())
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._ema = [item.detach().clone() for item in self._parameters]
        self._step = 0

    @property
    def step(self) -> int:
        """Updates asked for so far, skipped ones included."""
        return self._step

    def update(self, loss: torch.Tensor, rate: float) -> Metrics:
        """Make one step at a learning rate, or none where loss or gradient are not finite."""
        self._step += 1
        if not torch.isfinite(loss):
            return Metrics(loss=float(loss.detach()), skipped=True)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._config.grad_clip)
        if not torch.isfinite(norm):
            return Metrics(loss=float(loss.detach()), skipped=True)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._average()
        values = {"learning_rate": rate, "gradient_norm": float(norm)}
        return Metrics(loss=float(loss.detach()), values=values)

    def policy(self) -> TrainablePolicy:
        """Return a copy with the averaged weights."""
        acting = copy.deepcopy(self._policy)
        with torch.no_grad():
            for parameter, average in zip(acting.parameters(), self._ema, strict=True):
                parameter.copy_(average)
        return acting

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return weights, their average, the optimiser's moments and the step."""
        state = {"step": torch.tensor(self._step, dtype=torch.int64)}
        for i, parameter in enumerate(self._parameters):
            state[f"weights/{i:04d}"] = parameter.detach().clone()
            state[f"average/{i:04d}"] = self._ema[i].clone()
            for key, value in self._optimizer.state[parameter].items():
                state[f"optimizer/{i:04d}/{key}"] = value.detach().clone()
        return state

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from `state_dict`; other keys are left alone.

        Raises:
            TrainingError: A tensor is missing or has another shape.
        """
        moments: dict[int, dict[str, torch.Tensor]] = {}
        try:
            for i, parameter in enumerate(self._parameters):
                for key in (f"weights/{i:04d}", f"average/{i:04d}"):
                    if state[key].shape != parameter.shape:
                        raise TrainingError(f"training state: {key} has another shape")
            for name, value in state.items():
                if name.startswith("optimizer/"):
                    _, index, key = name.split("/")
                    moments.setdefault(int(index), {})[key] = value.clone()
            step = int(state["step"])
        except KeyError as error:
            raise TrainingError(f"training state: {error.args[0]} is missing") from error
        with torch.no_grad():
            for i, parameter in enumerate(self._parameters):
                parameter.copy_(state[f"weights/{i:04d}"])
                self._ema[i].copy_(state[f"average/{i:04d}"])
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self._step = step

    def _average(self) -> None:
        decay = min(self._config.ema_decay, self._step / (self._step + 10.0))
        with torch.no_grad():
            torch._foreach_lerp_(self._ema, self._parameters, 1.0 - decay)
