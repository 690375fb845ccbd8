"""Cameras by names that outlive a replug: /dev/v4l/by-id and /dev/v4l/by-path.

/dev/video0 is whoever came first. by-id names a camera by maker, model and serial number; where
two cameras of a model have no serial numbers there is one link for both, and only by-path, which
names the socket, tells them apart.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from so101.errors import ConfigError, HardwareError

LINKS = Path("/dev/v4l")
_NUMBERED = re.compile(r"(/dev/)?video\d+")


@dataclass(frozen=True, kw_only=True)
class StableName:
    """A name of a camera that does not change.

    Attributes:
        path: The link.
        target: What it points to at present, such as /dev/video2.
    """

    path: Path
    target: Path


def stable_names(links: Path = LINKS) -> tuple[StableName, ...]:
    """Return the stable names of everything that is plugged in, by-id first."""
    return tuple(
        StableName(path=path, target=path.resolve())
        for folder in ("by-id", "by-path")
        for path in _links_in(links / folder)
    )


def _links_in(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.exists())


def check_stable(device: str, links: Path = LINKS) -> None:
    """Refuse a name that means another camera after a replug.

    Raises:
        ConfigError: It is empty or numbered; the message lists what is there.
    """
    if not device or _NUMBERED.fullmatch(device):
        what = "no camera named" if not device else f"{device} may be another camera tomorrow"
        raise ConfigError(f"device: {what}; name it by id: {describe(links)}")


def resolve(device: str, links: Path = LINKS) -> str:
    """Return what a stable name points to now.

    Raises:
        HardwareError: Nothing has this name; the message lists what is there.
    """
    path = Path(device)
    if not path.exists():
        raise HardwareError(f"{device}: not plugged in; there is {describe(links)}")
    return str(path.resolve())


def identity(device: str, links: Path = LINKS) -> str:
    """Return the by-id name of the camera behind any stable name; empty where it has none."""
    target = Path(device).resolve()
    found = [name.path for name in stable_names(links) if name.target == target]
    return next((path.name for path in found if path.parent.name == "by-id"), "")


def describe(links: Path = LINKS) -> str:
    """List the cameras that are plugged in, for a person.

    Cameras offer further devices for data about images; those are left out where the names say so.
    """
    names = [name for name in stable_names(links) if not _is_metadata(name.path.name)]
    shown = ", ".join(f"{name.path} ({name.target.name})" for name in names)
    return shown or f"no camera at all below {links}"


def _is_metadata(name: str) -> bool:
    index = re.search(r"-video-index(\d+)$", name)
    return index is not None and index[1] != "0"
