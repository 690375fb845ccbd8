"""Numbers that came late, one per tick of an episode: advantages, values, whatever is named.

They stand in ``labels.json`` beside the labels. Of the same episode, name and rater the newest
series replaces the one before it as a whole; of several raters the one who spoke last counts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from so101.arrays import FloatArray, IntArray
from so101.clock import POLICY_GRID
from so101.data.labels.label_file import check_rater, read_sidecar, write_sidecar
from so101.errors import BagError, StoreError

MAX_REPLACED = 32
"""Of how many earlier series it is kept when they were said."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,63}")


@dataclass(frozen=True, kw_only=True, eq=False)
class ValueSeries:
    """One number per tick, by somebody, for some or all ticks of an episode.

    Attributes:
        stamp_ns: When it was said [ns].
        episode: Episode id.
        name: What the numbers are: advantage, value, ...
        rater: Person or algorithm.
        ticks_ns: Policy ticks of the episode, ascending [ns]; none takes the series back.
            Shape (n,).
        values: Finite. Shape (n,).
        replaced_ns: When the series before it were said, oldest first [ns]; at most
            `MAX_REPLACED`, which the store fills in.
    """

    stamp_ns: int
    episode: str
    name: str
    rater: str
    ticks_ns: IntArray
    values: FloatArray
    replaced_ns: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """What a later series must share to replace this one."""
        return self.episode, self.name, self.rater


def read_series(directory: Path) -> tuple[ValueSeries, ...]:
    """Return every series of an episode, the newest last; none when there is no file.

    Raises:
        BagError: The file is corrupt or of a later version.
    """
    sidecar = read_sidecar(directory)
    return tuple(_from_json(entry, sidecar.path) for entry in sidecar.values)


def put_series(directory: Path, series: ValueSeries) -> None:
    """Write a series, in place of the one that it replaces.

    Raises:
        StoreError: It has no name, a number that is not finite or no order, or the file cannot be
            written.
        BagError: The present file is corrupt or of a later version.
    """
    check_rater(series.rater)
    if problem := _problem(series):
        raise StoreError(f"values {series.name[:60]!r} of {series.episode}: {problem}")
    sidecar = read_sidecar(directory)
    known = [_from_json(entry, sidecar.path) for entry in sidecar.values]
    same = [i for i, one in enumerate(known) if one.key == series.key]
    replaced = [stamp for i in same for stamp in (*known[i].replaced_ns, known[i].stamp_ns)]
    kept = [entry for i, entry in enumerate(sidecar.values) if i not in same]
    series = replace(series, replaced_ns=tuple(replaced[-MAX_REPLACED:]))
    write_sidecar(replace(sidecar, values=[*kept, _to_json(series)]))


def align_series(
    series: Sequence[ValueSeries], stamps_ns: IntArray, span_ns: tuple[int, int]
) -> dict[str, FloatArray]:
    """Return the numbers of one episode by name, NaN where there is none.

    Args:
        series: The episode's, the newest last.
        stamps_ns: The ticks that are wanted [ns]. Shape (steps,).
        span_ns: First and past-last stamp of the episode [ns]; it may have ticks at its ends at
            which a stream is missing and which are not wanted.

    Returns:
        Arrays of shape (steps,).

    Raises:
        BagError: A series has a tick that the episode does not have.
    """
    aligned: dict[str, FloatArray] = {}
    for one in series:
        check_ticks(one, span_ns)
        if not len(one.ticks_ns):
            continue
        column = np.full(len(stamps_ns), np.nan)
        _, ours, theirs = np.intersect1d(stamps_ns, one.ticks_ns, return_indices=True)
        column[ours] = one.values[theirs]
        aligned[one.name] = column
    return aligned


def check_ticks(series: ValueSeries, span_ns: tuple[int, int]) -> None:
    """Refuse a series whose ticks are not those of its episode.

    Args:
        series: The series.
        span_ns: First and past-last stamp of the episode [ns].

    Raises:
        BagError: A tick is off the grid, before the episode or behind it.
    """
    first, past = span_ns
    for tick in series.ticks_ns.tolist():
        if not first <= tick < past or not POLICY_GRID.is_tick(tick):
            raise BagError(
                f"episode {series.episode}: values {series.name!r} of {series.rater}: {tick} is "
                f"not one of its ticks, {first} to {past}"
            )


def _problem(series: ValueSeries) -> str:
    """Return what is wrong with a series by itself; empty when nothing is."""
    ticks, values = series.ticks_ns, series.values
    if not _NAME.fullmatch(series.name):
        return "a name has 1 to 64 letters, digits, '_', '.', '/' and '-'"
    if ticks.ndim != 1 or ticks.dtype != np.int64 or values.shape != ticks.shape:
        return f"{ticks.dtype} ticks {ticks.shape} and values {values.shape}, expected int64 (n,)"
    if (np.diff(ticks) <= 0).any():
        return "its ticks are not ascending"
    bad = np.flatnonzero(~np.isfinite(values))
    return f"{values[bad[0]]} at {ticks[bad[0]]} is not finite" if len(bad) else ""


def _to_json(series: ValueSeries) -> dict[str, Any]:
    return {
        "stamp_ns": series.stamp_ns,
        "episode": series.episode,
        "name": series.name,
        "rater": series.rater,
        "replaced_ns": list(series.replaced_ns),
        "ticks_ns": series.ticks_ns.tolist(),
        "values": series.values.tolist(),
    }


def _from_json(entry: Any, path: Path) -> ValueSeries:
    try:
        series = ValueSeries(
            stamp_ns=int(entry["stamp_ns"]),
            episode=str(entry["episode"]),
            name=str(entry["name"]),
            rater=str(entry["rater"]),
            ticks_ns=np.array([_integer(tick) for tick in entry["ticks_ns"]], dtype=np.int64),
            values=np.array([float(value) for value in entry["values"]], dtype=np.float64),
            replaced_ns=tuple(int(stamp) for stamp in entry["replaced_ns"]),
        )
        if problem := _problem(series):
            raise ValueError(problem)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise BagError(f"{path}: broken values: {error!r}") from error
    return series


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not an integer")
    return value
