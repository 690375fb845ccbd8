"""Writes a LeRobotDataset v3 through LeRobot itself. The one file that imports it here.

The directory is written aside and gets its name when it is whole. What the columns are is
`so101.data.exchange.lerobot_values`' business; which episodes go in is the exporter's.
"""

import json
import math
import os
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from so101.arrays import ImageArray
from so101.clock import POLICY_HZ
from so101.data.durable import store_error, write_text
from so101.errors import ConfigError, StoreError

ROBOT_TYPE = "so101_follower"
PACKAGES = ("lerobot", "datasets", "pyarrow", "av")
HOW_TO_INSTALL = "make lerobot (Python 3.12 or later), or pip install -r requirements/lerobot.in"
_QUEUE_BYTES = 1 << 28
_POLL_S = 0.002


def check_installed(packages: Sequence[str] = PACKAGES) -> None:
    """Refuse to begin where LeRobot's packages are absent.

    Raises:
        ConfigError: One is not installed; the message says how to get it.
    """
    absent = [name for name in packages if find_spec(name) is None]
    if absent:
        raise ConfigError(f"{', '.join(absent)}: not installed; {HOW_TO_INSTALL}")


class LeRobotWriter:
    """A LeRobotDataset being written. Ends with `finish` or `abandon`.

    Attributes:
        directory: Where it will be.
        part: Where it is until then.
        frames: Frames written so far.
    """

    def __init__(
        self,
        directory: Path,
        features: Mapping[str, Mapping[str, Any]],
        *,
        repo_id: str,
        images: Literal["video", "image"] = "video",
    ) -> None:
        """Begin a dataset.

        Args:
            directory: Where it will be; must not exist.
            features: LeRobot's description of every column.
            repo_id: What LeRobot calls it.
            images: How camera images are kept: as video, or losslessly as PNG.

        Raises:
            ConfigError: LeRobot is not installed.
            StoreError: The directory exists or cannot be written.
        """
        check_installed()
        self.directory = directory
        self.part = directory.with_name(f".{directory.name}.{os.getpid()}.part")
        self.frames = 0
        self._cameras = [name for name, one in features.items() if one["dtype"] == images]
        self._is_video = images == "video" and bool(self._cameras)
        check_free(directory)
        shutil.rmtree(self.part, ignore_errors=True)  # of a killed process with this number
        shapes = [features[name]["shape"] for name in self._cameras]
        frame_bytes = max((height * width * 3 for height, width, _ in shapes), default=1)
        self._room = max(4, _QUEUE_BYTES // frame_bytes // max(1, len(self._cameras)))
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            self._dataset = _lerobot_dataset().create(
                repo_id,
                POLICY_HZ,
                {name: dict(feature) for name, feature in features.items()},
                root=self.part,
                robot_type=ROBOT_TYPE,
                use_videos=self._is_video,
                streaming_encoding=self._is_video,
                video_backend="pyav",
                encoder_queue_maxsize=self._room,
            )
        except OSError as error:
            raise store_error(self.part, error) from error

    def add_frame(
        self, values: Mapping[str, Any], images: Mapping[str, ImageArray], task: str
    ) -> None:
        """Append one step to the present episode.

        Args:
            values: Every column but the images.
            images: Column to RGB image of shape (height, width, 3).
            task: The instruction.
        """
        self._wait_for_encoders()
        self._dataset.add_frame({**values, **images, "task": task})

    def save_episode(self, length: int, where: str) -> None:
        """End the present episode.

        Args:
            length: Steps that were added to it.
            where: Its name, for error messages.

        Raises:
            StoreError: The disk refuses, or a video does not hold every frame.
        """
        try:
            with warnings.catch_warnings():
                # Statistics of values that nobody knows, such as wishes while no human acts.
                warnings.filterwarnings("ignore", "invalid value encountered", RuntimeWarning)
                self._dataset.save_episode(parallel_encoding=False)
        except OSError as error:
            raise store_error(self.part, error) from error
        self._check_videos(length, where)
        self.frames += length

    def finish(self, extra: Mapping[str, str]) -> None:
        """Close the dataset and give it its name.

        Args:
            extra: Further files of ``meta`` by name, as text.

        Raises:
            StoreError: The disk refuses, or the directory exists by now.
        """
        try:
            self._dataset.finalize()
            _drop_unknown_statistics(self.part / "meta" / "stats.json")
            for video in self.part.glob("videos/**/*.mp4"):
                video.chmod(0o644)  # made as temporary files, which only their owner may read
            for name, text in extra.items():
                write_text(self.part / "meta" / name, text)
            check_free(self.directory)
            os.rename(self.part, self.directory)
        except OSError as error:
            raise store_error(self.directory, error) from error

    def abandon(self) -> None:
        """Delete what was written."""
        with suppress(Exception):  # whatever state LeRobot's encoders are in, the files go
            self._dataset.clear_episode_buffer()
            self._dataset.finalize()
        shutil.rmtree(self.part, ignore_errors=True)

    def _wait_for_encoders(self) -> None:
        """Wait until every encoder takes a frame: LeRobot's drops it when its queue is full."""
        if not self._is_video:
            return
        queues = self._dataset.writer._streaming_encoder._frame_queues
        while any(queue.qsize() >= self._room for queue in queues.values()):
            time.sleep(_POLL_S)

    def _check_videos(self, length: int, where: str) -> None:
        if not self._is_video:
            return
        told = self._dataset.meta.latest_episode
        for name in self._cameras:
            begin, end = (told[f"videos/{name}/{side}_timestamp"][0] for side in ("from", "to"))
            frames = round((end - begin) * POLICY_HZ)
            if frames != length:
                raise StoreError(f"{where}: {name}: {frames} of {length} frames are in the video")


def check_free(directory: Path) -> None:
    """Refuse a directory that is there already.

    Raises:
        StoreError: It is.
    """
    if directory.exists():
        raise StoreError(f"{directory}: exists already; nothing is ever written over")


def _drop_unknown_statistics(path: Path) -> None:
    """Take out of stats.json what is NaN there, which is no JSON: values that nobody knows."""
    stats = json.loads(path.read_text(encoding="utf-8"))
    known = {name: one for name, one in stats.items() if _is_finite(one)}
    write_text(path, json.dumps(known, indent=4, allow_nan=False) + "\n")


def _is_finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def _lerobot_dataset() -> Any:
    # Progress bars per episode and the encoder's settings per video hide what the command says.
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("SVT_LOG", "1")
    import av

    av.logging.set_libav_level(av.logging.ERROR)
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset
