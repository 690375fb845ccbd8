"""Whether a camera looks at what it looked at when it was set up: are two of them swapped?

Remembered is the camera's own name (maker, model, serial number) and a tiny grey picture. The name
is proof, where the camera has one. The picture is a guess: it compares which camera's remembered
picture the present one is most like, and a moved arm or a new scene may look like neither.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from so101.arrays import Float32Array, ImageArray
from so101.config import from_mapping, load_yaml, to_mapping
from so101.errors import ConfigError, StoreError

SIDE = 16
"""Height and width of the remembered picture [px]."""

ALIKE = 0.5
"""The present picture is like a remembered one from this correlation on."""

CLEARER = 0.2
"""By so much the other camera's picture must fit better than the own one."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What is remembered of a camera.

    Attributes:
        camera: Camera id.
        identity: Its by-id name; empty where it has none.
        grey: Tiny grey picture, rows first, 0 to 255. SIDE * SIDE numbers.
    """

    camera: str
    identity: str
    grey: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the picture.

        Raises:
            ConfigError: It has another size.
        """
        if len(self.grey) != SIDE * SIDE:
            raise ConfigError(f"grey: {len(self.grey)} numbers, expected {SIDE * SIDE}")


def view_of(camera: str, identity: str, pixels: ImageArray) -> View:
    """Return what is to be remembered.

    Args:
        camera: Camera id.
        identity: Its by-id name, or empty.
        pixels: An RGB image. Shape (height, width, 3).
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return View(camera=camera, identity=identity, grey=tuple(int(v) for v in small.ravel()))


def suspicion(now: View, remembered: Mapping[str, View]) -> str:
    """Say why a camera may not be the one it should be; empty when nothing speaks for that.

    Args:
        now: What it is and sees at present.
        remembered: Camera id to what was remembered, of all cameras.
    """
    own = remembered.get(now.camera)
    if own is None:
        return ""
    if own.identity and now.identity:
        if own.identity == now.identity:
            return ""
        twin = next((v for v in remembered.values() if v.identity == now.identity), None)
        whose = f", which was the {twin.camera} camera" if twin else ""
        return f"set up with {own.identity}, now it is {now.identity}{whose}"
    likeness = {name: _likeness(now, view) for name, view in remembered.items()}
    best = max(likeness, key=lambda name: likeness[name])
    if likeness[best] >= ALIKE and likeness[best] - likeness[now.camera] >= CLEARER:
        return (
            f"sees what the {best} camera saw when it was set up "
            f"(likeness {likeness[best]:.2f}, to its own view {likeness[now.camera]:.2f})"
        )
    return ""


def _likeness(one: View, other: View) -> float:
    """Return the correlation of two pictures, -1 to 1; of a picture of one colour, 0."""
    a, b = _centred(one), _centred(other)
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if scale > 0.0 else 0.0


def _centred(view: View) -> Float32Array:
    grey = np.array(view.grey, dtype=np.float32)
    return np.asarray(grey - grey.mean(), dtype=np.float32)


def load_views(directory: Path) -> dict[str, View]:
    """Return what was remembered, by camera id; nothing where the directory does not exist.

    Raises:
        ConfigError: A file is broken; the message names it.
    """
    files = sorted(directory.glob("*.json")) if directory.is_dir() else []
    views = [from_mapping(View, load_yaml(path), str(path)) for path in files]  # JSON is YAML
    return {view.camera: view for view in views}


def save_view(directory: Path, view: View) -> Path:
    """Remember a view as ``<camera>.json``, whole or not at all.

    Raises:
        StoreError: It cannot be written.
    """
    path = directory / f"{view.camera}.json"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(to_mapping(view)), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error}") from error
    return path
