"""Where shipped files and the files of a run lie."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from so101.config import load_yaml
from so101.errors import ConfigError

PACKAGE = "so101_bringup"


@dataclass(frozen=True, kw_only=True)
class RunPaths:
    """The directory of a run: what `so101 rl` leaves behind.

    Attributes:
        root: The directory.
    """

    root: Path

    @property
    def episodes(self) -> Path:
        """The episode store."""
        return self.root / "episodes"

    @property
    def checkpoints(self) -> Path:
        """The checkpoint store."""
        return self.root / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """What ``so101 eval --json`` found, one ``<sha256[:8]>.json`` per checkpoint."""
        return self.root / "evaluations"

    @property
    def report(self) -> Path:
        """What ``so101 report`` made of it."""
        return self.root / "report"

    @property
    def logs(self) -> Path:
        """One log file per node."""
        return self.root / "logs"


def shared_path(*parts: str) -> Path:
    """Return a shipped file or directory outside the Python packages, such as ``config``.

    Looks in the checkout, then where pip and colcon install the package's share directory.

    Raises:
        ConfigError: It is nowhere; the message lists the places.
    """
    places = [place.joinpath(*parts) for place in _shares()]
    for place in places:
        if place.exists():
            return place
    raise ConfigError(f"{'/'.join(parts)}: not found in {', '.join(map(str, places))}")


def config_path(name: str) -> Path:
    """Return a parameter file of ``config``.

    Raises:
        ConfigError: There is none of this name.
    """
    return shared_path("config", name)


def check_sections(path: Path, nodes: Sequence[str], namespace: str = "") -> None:
    """Refuse a parameter file with a section for a node that does not exist.

    ROS ignores such a section in silence, so that a misspelled name loses every setting.

    Args:
        path: The file.
        nodes: Names of all nodes, those of other graphs as well: one file serves every graph.
        namespace: The graph's namespace.

    Raises:
        ConfigError: The file cannot be read, or a section matches no node.
    """
    content = load_yaml(path)
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: expected node names as the top level")
    home = f"/{namespace.strip('/')}/" if namespace.strip("/") else "/"
    known = {"/**", *(f"{start}{node}" for node in nodes for start in ("/**/", home))}
    for section in map(str, content):
        if (section if section.startswith("/") else f"/{section}") not in known:
            names = [f"{home}{node}" for node in nodes]
            nearest = get_close_matches(section, names, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"nodes: {', '.join(names)}"
            raise ConfigError(f"{path}: no node is called {section!r}; {hint}")


def _shares() -> list[Path]:
    checkout = Path(__file__).resolve().parent.parent
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    prefixes.append(Path(sys.prefix))
    shares = [prefix / "share" / PACKAGE for prefix in prefixes]
    return [checkout, *shares] if (checkout / "pyproject.toml").exists() else shares
