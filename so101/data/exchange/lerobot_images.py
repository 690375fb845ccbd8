"""Images of a LeRobotDataset v3: which columns hold them, and frames out of video or parquet."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from so101.arrays import ImageArray, IntArray
from so101.clock import NS_PER_S
from so101.data.exchange.lerobot_source import LeRobotSource, SourceEpisode, read_table
from so101.data.exchange.lerobot_values import IMAGE_PREFIX
from so101.errors import BagError
from so101.images import MAX_IMAGE_SIDE, decode_image

_CAMERA = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def read_images(
    source: LeRobotSource, episode: SourceEpisode, name: str, stamps_ns: IntArray
) -> Iterator[ImageArray]:
    """Decode the images of an episode one after another: uint8 of shape (height, width, 3).

    Args:
        source: The dataset.
        episode: Which episode.
        name: The image column.
        stamps_ns: Time of every step since the first [ns]. Shape (steps,).

    Raises:
        BagError: A file is missing or corrupt, or a frame is not there.
    """
    where = f"{source.root}: episode {episode.index}: {name}"
    if source.features[name]["dtype"] == "image":
        yield from _stored_images(episode, name, where)
        return
    path, begin_s, _ = episode.videos[name]
    wanted = begin_s + stamps_ns / NS_PER_S
    yield from _video_frames(path, wanted.tolist(), 0.5 / source.fps, where)


def _stored_images(episode: SourceEpisode, name: str, where: str) -> Iterator[ImageArray]:
    table = read_table(episode.data, [name], [("episode_index", "=", episode.index)])
    for value in table[name].to_pylist():
        data = value.get("bytes") if isinstance(value, dict) else None
        if not data:
            raise BagError(f"{where}: an image is not in the parquet file")
        yield decode_image(data)


def _video_frames(
    path: Path, wanted_s: Sequence[float], tolerance_s: float, where: str
) -> Iterator[ImageArray]:
    import av

    at = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            container.seek(int(wanted_s[0] / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.time < wanted_s[at] - tolerance_s:
                    continue
                if frame.time > wanted_s[at] + tolerance_s:
                    break
                if max(frame.width, frame.height) > MAX_IMAGE_SIDE:
                    raise BagError(f"{where}: {frame.width}x{frame.height} px")
                yield frame.to_ndarray(format="rgb24")
                at += 1
                if at == len(wanted_s):
                    return
    except (av.FFmpegError, IndexError, OSError) as error:
        raise BagError(f"{where}: {path.name}: {error}") from error
    raise BagError(f"{where}: {path.name}: no frame at {wanted_s[at]:.3f} s")


def find_cameras(source: LeRobotSource, named: Mapping[str, str]) -> dict[str, str]:
    """Return camera id to image column.

    Args:
        source: The dataset.
        named: Ids that somebody gave to columns; the full name or its last part.

    Raises:
        BagError: A column is named that is not there, or an id cannot be a topic or is taken.
    """
    columns = {_camera_of(column): column for column in source.image_columns}
    found: dict[str, str] = {}
    for camera, column in named.items():
        column = columns.get(column, column)
        if column not in source.image_columns:
            held = ", ".join(source.image_columns) or "none"
            raise BagError(f"{source.root}: no images {column!r}; it has {held}")
        found[camera] = column
    for column in source.image_columns:
        if column not in found.values():
            camera = _camera_of(column)
            if camera in found:
                raise BagError(f"{source.root}: two cameras {camera!r}; use --camera-map")
            found[camera] = column
    wrong = [camera for camera in found if not _CAMERA.fullmatch(camera)]
    if wrong:
        raise BagError(f"{source.root}: camera {wrong[0]!r} cannot be a topic; use --camera-map")
    return found


def _camera_of(column: str) -> str:
    return column.removeprefix(IMAGE_PREFIX).removeprefix("observation.").replace(".", "_")
