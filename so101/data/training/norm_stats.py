"""Statistics that normalise a policy's numbers. They travel with every checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from so101.arrays import FloatArray, frozen
from so101.errors import BagError


@dataclass(frozen=True, kw_only=True)
class ColumnStats:
    """Statistics of one kind of values, each of the shape of one value.

    Attributes:
        minimum: Smallest value.
        maximum: Largest value.
        q01: 1st percentile.
        q99: 99th percentile.
        mean: Mean.
        std: Standard deviation.
    """

    minimum: FloatArray
    maximum: FloatArray
    q01: FloatArray
    q99: FloatArray
    mean: FloatArray
    std: FloatArray

    @classmethod
    def of(cls, values: npt.ArrayLike) -> "ColumnStats":
        """Return the statistics over the first axis.

        Raises:
            BagError: There are no values, or one is not finite.
        """
        rows = np.asarray(values, dtype=np.float64)
        if not len(rows) or not np.isfinite(rows).all():
            raise BagError(f"statistics: need finite values, got {len(rows)} rows")
        q01, q99 = np.quantile(rows, [0.01, 0.99], axis=0)
        return cls(
            minimum=frozen(rows.min(axis=0)),
            maximum=frozen(rows.max(axis=0)),
            q01=frozen(q01),
            q99=frozen(q99),
            mean=frozen(rows.mean(axis=0)),
            std=frozen(rows.std(axis=0)),
        )


@dataclass(frozen=True, kw_only=True)
class NormStats:
    """Statistics of everything a policy sees and says.

    Attributes:
        positions: Measured joint positions [rad]. Shape (joints,).
        velocities: Measured joint velocities [rad/s], or None when unknown. Shape (joints,).
        commands: Goals in force [rad]. Shape (joints,).
        actions: Executed goals [rad]. Shape (joints,).
        objects: Object poses, shape (objects, 7), or None without.
        steps: Number of steps they were taken over.
    """

    positions: ColumnStats
    commands: ColumnStats
    actions: ColumnStats
    velocities: ColumnStats | None = None
    objects: ColumnStats | None = None
    steps: int = 0


def to_json(stats: NormStats) -> dict[str, Any]:
    """Return plain lists and numbers, exact to the last bit."""
    values: dict[str, Any] = {"steps": stats.steps}
    for name in _COLUMNS:
        column = getattr(stats, name)
        if column is not None:
            values[name] = {f.name: getattr(column, f.name).tolist() for f in fields(column)}
    return values


def from_json(values: Mapping[str, Any], where: str) -> NormStats:
    """Read statistics, the inverse of `to_json`.

    Args:
        values: What `to_json` returned.
        where: File, for error messages.

    Raises:
        BagError: Something is missing or is not a finite number.
    """
    try:
        columns = {
            name: ColumnStats(
                **{f.name: frozen(values[name][f.name]) for f in fields(ColumnStats)}
            )
            for name in _COLUMNS
            if name in values
        }
        stats = NormStats(steps=int(values["steps"]), **columns)
    except (KeyError, TypeError, ValueError) as error:
        raise BagError(f"{where}: broken norm stats: {error!r}") from error
    for name, column in columns.items():
        for f in fields(column):
            if not np.isfinite(getattr(column, f.name)).all():
                raise BagError(f"{where}: norm stats: {name}.{f.name} is not finite")
    return stats


_COLUMNS = ("positions", "velocities", "commands", "actions", "objects")
