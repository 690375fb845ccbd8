"""Real-time chunking for a flow that predicts the clean chunk: keep what is decided, lean on it.

Black et al. (2025), "Real-time execution of action chunking flow policies", arXiv:2506.07339,
guide a flow towards the previous plan Y as an inpainting problem. Here for the parametrisation of
``so101.policies.flow_policy``: the path is ``x_t = (1 - t) z + t a`` and the network predicts the
clean chunk ``a_hat(x_t, t) = E[a | x_t]`` itself.

1. On this path the velocity and the score of x_t belong together:
   ``v = (x_t + (1 - t) grad log p(x_t)) / t``, from ``grad log p = -E[z | x_t] / (1 - t)`` and
   ``v = E[a - z | x_t]``.
2. Conditioned on Y the score grows by ``grad log p(Y | x_t)``. With ``a | x_t`` taken as normal
   around a_hat with variance r², as if the data were standard normal,
   ``r² = (1 - t)² / (t² + (1 - t)²)`` (Song et al. 2023, pseudo-inverse guidance), that is
   ``J' W (Y - a_hat) / r²`` with the Jacobian ``J = d a_hat / d x_t`` and a weight W per point.
3. By 1 the velocity grows by ``(1 - t) / (t r²) J' W (Y - a_hat)``. The factor is without bound at
   t = 0, where the network knows nothing yet, and is clipped at beta (equations 2 to 4 there).
4. The velocity implied by a clean chunk is ``(a_hat - x_t) / (1 - t)``, so the same flow is that
   of the clean chunk ``a_hat + (1 - t) min(beta, (1 - t) / (t r²)) J' W (Y - a_hat)``.

``J' e`` is one pass backward through the network, with respect to x_t only. The decided points are
put in place of the prediction at every step, so that they are met exactly and x_t is, there, what
the network was trained on: the noisy form of the very points. Both act together: the error at the
decided points reaches the others through the off-diagonal part of J.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from so101.errors import ConfigError

CleanChunk = Callable[[torch.Tensor, float], torch.Tensor]
"""The clean chunks that noisy ones, shape (rows, horizon, size), promise at a flow time."""


@dataclass(frozen=True, kw_only=True)
class PrefixGuidance:
    """How strongly the previous plan pulls.

    Attributes:
        most: beta, the largest factor of the velocity; 0 leaves only what is decided in place.
        decay: Points behind the decided ones weigh ``c (e^(decay c) - 1) / (e^decay - 1)``, where
            c falls from 1 to 0 towards the plan's end; 1 as in the paper, towards 0 quadratic.
    """

    most: float = 5.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no pull.

        Raises:
            ConfigError: A value is out of range.
        """
        if not (0.0 <= self.most < math.inf and 0.0 < self.decay <= 50.0):
            raise ConfigError(
                f"prefix guidance: need 0 <= most < inf and 0 < decay <= 50, got "
                f"most={self.most}, decay={self.decay}"
            )

    def gain(self, time: float) -> float:
        """Return the factor of ``J' W (Y - a_hat)`` in the clean chunk; the time is in [0, 1)."""
        if time == 0.0:
            return self.most
        left = 1.0 - time
        return left * min(self.most, (time * time + left * left) / (time * left))

    def mask(self, decided: int, points: int, horizon: int) -> torch.Tensor:
        """Return the weight of each point of a chunk (equation 5 there).

        Args:
            decided: Points that weigh 1.
            points: Points of the previous plan; those behind weigh nothing.
            horizon: Points of the chunk.

        Returns:
            Shape (horizon,).
        """
        weights = torch.zeros(horizon)
        weights[:decided] = 1.0
        for i in range(decided, min(points, horizon)):
            share = (points - i) / (points - decided + 1)
            weights[i] = share * math.expm1(self.decay * share) / math.expm1(self.decay)
        return weights


@dataclass(frozen=True, kw_only=True)
class KnownPlan:
    """The previous plan in the network's numbers.

    Attributes:
        values: Anything behind the plan's end. Shape (rows, horizon, size).
        weights: Of each point, 0 behind the plan's end. Shape (horizon,).
        decided: Points that are not to be changed.
    """

    values: torch.Tensor
    weights: torch.Tensor
    decided: int


def guided(
    clean_chunk: CleanChunk,
    noisy: torch.Tensor,
    time: float,
    known: KnownPlan,
    guidance: PrefixGuidance,
) -> torch.Tensor:
    """Return the clean chunks that keep to a known plan; no gradient is left in them.

    Args:
        clean_chunk: The network.
        noisy: Shape (rows, horizon, size).
        time: Flow time.
        known: What to keep to.
        guidance: How strongly.
    """
    if guidance.most == 0.0 or known.decided == len(known.weights):
        clean = clean_chunk(noisy, time)
    else:
        with torch.enable_grad():
            leaf = noisy.detach().requires_grad_(True)
            clean = clean_chunk(leaf, time)
            error = known.weights[:, None] * (known.values - clean.detach())
            (pull,) = torch.autograd.grad(clean, leaf, error)
        clean = clean.detach() + guidance.gain(time) * pull
    return torch.cat([known.values[:, : known.decided], clean[:, known.decided :]], dim=1)
