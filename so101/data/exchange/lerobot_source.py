"""Reads a LeRobotDataset v3 from a local directory: parquet and video, no LeRobot, no network.

Untrusted input: what the files say about each other is checked before it is believed. What the
columns mean is the importer's business.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from so101.errors import BagError

_VERSION = re.compile(r"v(\d+)\.(\d+)")
_MAX_EPISODES = 1_000_000
_MAX_FRAMES = 1_000_000
_MAX_FPS = 1000


@dataclass(frozen=True, kw_only=True)
class SourceEpisode:
    """Where the values of one episode lie.

    Attributes:
        index: Its number in the dataset.
        length: Its steps.
        data: The parquet file.
        videos: Column to video file, and where in it the episode begins and ends [s].
    """

    index: int
    length: int
    data: Path
    videos: Mapping[str, tuple[Path, float, float]]


@dataclass(frozen=True, kw_only=True)
class LeRobotSource:
    """An opened dataset.

    Attributes:
        root: Its directory.
        version: What its format calls itself, such as ``v3.0``.
        fps: Frames per second.
        robot_type: Which robot it names; may be empty.
        features: Column to LeRobot's description of it.
        tasks: Number to instruction.
        episodes: In their order.
        extra: Content of our own file ``meta/so101.json``; empty in other people's datasets.
    """

    root: Path
    version: str
    fps: int
    robot_type: str
    features: Mapping[str, Mapping[str, Any]]
    tasks: Mapping[int, str]
    episodes: tuple[SourceEpisode, ...]
    extra: Mapping[str, Any]

    @property
    def image_columns(self) -> tuple[str, ...]:
        """Names of the columns that hold colour images."""
        return tuple(
            name
            for name, one in self.features.items()
            if one["dtype"] in ("video", "image") and not _is_depth(one)
        )

    def joint_names(self, column: str) -> tuple[str, ...]:
        """Return what a column calls its values; empty when it does not say."""
        names = self.features.get(column, {}).get("names")
        if isinstance(names, Mapping):  # {"motors": [...]} of older recordings
            names = next(iter(names.values()), None)
        if not isinstance(names, list | tuple):
            return ()
        return tuple(str(name).removesuffix(".pos") for name in names)


def open_source(root: Path) -> LeRobotSource:
    """Open a dataset.

    Raises:
        BagError: It is missing, of another version, or its files contradict each other.
    """
    info = _read_json(root / "meta" / "info.json")
    version = str(info.get("codebase_version", ""))
    match = _VERSION.fullmatch(version)
    if match is None or int(match[1]) != 3:
        hint = "; convert it with LeRobot's convert_dataset_v21_to_v30" if match else ""
        raise BagError(f"{root}: format {version or 'unknown'!r}, expected v3.0{hint}")
    features = _checked_features(info.get("features"), root)
    extra = root / "meta" / "so101.json"
    return LeRobotSource(
        root=root,
        version=version,
        fps=_checked_fps(info.get("fps"), root),
        robot_type=str(info.get("robot_type") or ""),
        features=features,
        tasks=_read_tasks(root / "meta" / "tasks.parquet"),
        episodes=_read_episodes(root, info, features),
        extra=_read_json(extra) if extra.exists() else {},
    )


def read_columns(
    source: LeRobotSource, episode: SourceEpisode, names: Sequence[str]
) -> dict[str, Any]:
    """Read columns of an episode: arrays of one row per step, texts as lists.

    Raises:
        BagError: A file is missing or corrupt, or has another number of steps.
    """
    where = f"{source.root}: episode {episode.index}"
    found = [name for name in names if name in source.features]
    table = read_table(episode.data, found, [("episode_index", "=", episode.index)])
    if len(table) != episode.length:
        raise BagError(
            f"{where}: {episode.data.name} holds {len(table)} of {episode.length} steps"
        )
    columns: dict[str, Any] = {}
    for name in found:
        values = table[name].to_pylist()
        if source.features[name]["dtype"] == "string":
            columns[name] = [str(value) for value in values]
            continue
        try:
            columns[name] = np.array(values, dtype=source.features[name]["dtype"])
        except (TypeError, ValueError) as error:
            raise BagError(f"{where}: {name}: {error}") from error
        width = int(np.prod(source.features[name]["shape"]))
        if columns[name].size != episode.length * width:
            raise BagError(
                f"{where}: {name}: {columns[name].shape} is no table of {width} columns"
            )
        columns[name] = columns[name].reshape(episode.length, width)
    return columns


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BagError(f"{path}: no LeRobotDataset: {error}") from error
    if not isinstance(values, dict):
        raise BagError(f"{path}: not a JSON object")
    return values


def _checked_features(value: Any, root: Path) -> dict[str, Mapping[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
        raise BagError(f"{root}: info.json describes no features")
    for name, one in value.items():
        shape = one.get("shape")
        sizes = isinstance(shape, list | tuple) and all(type(s) is int and s > 0 for s in shape)
        if not isinstance(one.get("dtype"), str) or not sizes:
            raise BagError(f"{root}: info.json: feature {name!r} has no dtype or no shape")
    return value


def _checked_fps(value: Any, root: Path) -> int:
    if not isinstance(value, int | float) or value != int(value) or not 1 <= value <= _MAX_FPS:
        raise BagError(f"{root}: info.json: {value!r} frames per second")
    return int(value)


def _is_depth(feature: Mapping[str, Any]) -> bool:
    info = feature.get("info")
    told = info if isinstance(info, Mapping) else {}
    return bool(told.get("is_depth_map") or told.get("video.is_depth_map"))


def _read_tasks(path: Path) -> dict[int, str]:
    table = read_table(path)
    texts = [name for name in table.column_names if name != "task_index"]
    if "task_index" not in table.column_names or len(texts) != 1:
        raise BagError(f"{path}: columns {', '.join(table.column_names)}")
    numbers = table["task_index"].to_pylist()
    return {int(n): str(t) for n, t in zip(numbers, table[texts[0]].to_pylist(), strict=True)}


def _read_episodes(
    root: Path, info: Mapping[str, Any], features: Mapping[str, Mapping[str, Any]]
) -> tuple[SourceEpisode, ...]:
    videos = [name for name, one in features.items() if one["dtype"] == "video"]
    keys = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    for name in videos:
        keys += [f"videos/{name}/{key}" for key in ("chunk_index", "file_index")]
        keys += [f"videos/{name}/{key}_timestamp" for key in ("from", "to")]
    files = sorted((root / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
    rows = [row for file in files for row in read_table(file, keys).to_pylist()]
    if not 1 <= len(rows) <= _MAX_EPISODES:
        raise BagError(f"{root}: {len(rows)} episodes")
    try:
        found = [_to_episode(root, info, row, videos) for row in rows]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BagError(f"{root}: meta/episodes: {error!r}") from error
    return tuple(sorted(found, key=lambda one: one.index))


def _to_episode(
    root: Path, info: Mapping[str, Any], row: Mapping[str, Any], videos: Sequence[str]
) -> SourceEpisode:
    length = int(row["length"])
    if not 1 <= length <= _MAX_FRAMES:
        raise ValueError(f"{length} steps")
    found = {}
    for name in videos:
        numbers = {key: int(row[f"videos/{name}/{key}"]) for key in ("chunk_index", "file_index")}
        times = [float(row[f"videos/{name}/{key}_timestamp"]) for key in ("from", "to")]
        path = _inside(root, info["video_path"].format(video_key=name, **numbers))
        found[name] = (path, times[0], times[1])
    numbers = {key: int(row[f"data/{key}"]) for key in ("chunk_index", "file_index")}
    return SourceEpisode(
        index=int(row["episode_index"]),
        length=length,
        data=_inside(root, info["data_path"].format(**numbers)),
        videos=found,
    )


def _inside(root: Path, name: str) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"{name} lies outside the dataset")
    return path


def read_table(path: Path, columns: Sequence[str] | None = None, filters: Any = None) -> Any:
    """Return the rows and columns of a parquet file that are asked for.

    Raises:
        BagError: It is missing or corrupt.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=columns, filters=filters)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BagError(f"{path}: cannot be read: {error}") from error
