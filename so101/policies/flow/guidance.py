"""Real-time chunking for a flow that predicts the clean chunk: keep what is decided, lean on it.

Black et al. (2025), "Real-time execution of action chunking flow policies", arXiv:2506.07339,
guide a flow towards the previous plan Y as an inpainting problem. Here for the parametrisation of
``so101.policies.flow.policy``: the path is ``x_t = (1 - t) z + t a`` and the network predicts the
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

``J' e`` is one pass backward through the network, with respect to x_t only. How far it reaches is
the policy's: ``J = t / (1 - t)² Cov[a | x_t]``, and a policy that is sure of itself hardly moves.
Its chunks still differ from the plan by the little that it is unsure of, and the arm would feel
that as a jolt where the decided points end. So the plan is also put in place of the prediction:
wholly at the decided points, which are thus met exactly, and by a share that falls smoothly to 0
at the end of the plan. Where that is done, x_t is the noisy form of the very points, what the
network was trained on.
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
        most: beta, the largest factor of the velocity; 0 does without the gradient.
        blend: Share of the undecided plan that is put in place, times its own falling share; 0
            puts in place only what is decided.
    """

    most: float = 5.0
    blend: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no pull.

        Raises:
            ConfigError: A value is out of range.
        """
        if not (0.0 <= self.most < math.inf and 0.0 <= self.blend <= 1.0):
            raise ConfigError(
                f"prefix guidance: most={self.most} must be at least 0 and finite and "
                f"blend={self.blend} in 0 to 1"
            )

    def gain(self, time: float) -> float:
        """Return the factor of ``J' W (Y - a_hat)`` in the clean chunk; the time is in [0, 1)."""
        if time == 0.0:
            return self.most
        left = 1.0 - time
        return left * min(self.most, (time * time + left * left) / (time * left))


def pull_weights(decided: int, points: int, horizon: int) -> torch.Tensor:
    """Return W, the weight of each point's error (equation 5 there).

    Args:
        decided: Points that weigh 1.
        points: Points of the previous plan; from the decided ones to its end the weight falls
            exponentially, behind it is 0.
        horizon: Points of the chunk.

    Returns:
        Shape (horizon,).
    """
    falling = _falling(decided, points, horizon)
    return falling * torch.expm1(falling) / math.expm1(1.0)


def kept_shares(decided: int, points: int, horizon: int) -> torch.Tensor:
    """Return how much of the plan is put in place at each point; arguments as `pull_weights`.

    A cubic from 1 at the decided points to 0 behind the plan, level at both ends: neither end of
    it bends the path.
    """
    falling = _falling(decided, points, horizon)
    return falling * falling * (3.0 - 2.0 * falling)


def _falling(decided: int, points: int, horizon: int) -> torch.Tensor:
    """Return 1 for decided points, then evenly falling to 0 right behind the plan."""
    left = points - torch.arange(horizon, dtype=torch.float32)
    return (left / (points - decided + 1)).clamp(0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class KnownPlan:
    """The previous plan in the network's numbers.

    Attributes:
        values: Anything behind the plan's end. Shape (rows, horizon, size).
        points: How many of them are the plan's.
        decided: How many of those are not to be changed.
    """

    values: torch.Tensor
    points: int
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
    marks = known.decided, known.points, noisy.shape[1]
    if guidance.most == 0.0:
        clean = clean_chunk(noisy, time)
    else:
        weights = pull_weights(*marks).to(noisy)[:, None]
        with torch.enable_grad():
            leaf = noisy.detach().requires_grad_(True)
            clean = clean_chunk(leaf, time)
            error = weights * (known.values - clean.detach())
            (pull,) = torch.autograd.grad(clean, leaf, error)
        clean = clean.detach() + guidance.gain(time) * pull
    shares = kept_shares(*marks) * guidance.blend
    shares[: known.decided] = 1.0
    return torch.lerp(clean, known.values, shares.to(noisy)[:, None].expand_as(clean))
