"""What a LeRobot checkpoint is on disk: where its files are, what may be among them, their sha256.

Nothing here imports LeRobot or torch, opens weights or executes anything. A checkpoint is named by
its directory, by an options file (YAML) that names it, or by ``owner/name`` on the model hub.
"""

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from so101.config import from_mapping, load_yaml
from so101.data.durable import file_sha256
from so101.errors import CheckpointError, ConfigError
from so101.policies.checkpoints.json_file import read_json
from so101.policies.lerobot.options import OPTIONS_FILE, LeRobotOptions

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PREPROCESSOR = "policy_preprocessor.json"
POSTPROCESSOR = "policy_postprocessor.json"
TRAIN_CONFIG = "train_config.json"
OWN_FILES = ("policy.json", "training.json")
PLACES = (Path(), Path("pretrained_model"), Path("checkpoints") / "last" / "pretrained_model")
"""Where LeRobot's training puts config.json, seen from what it calls a checkpoint or a run."""
WANTED = ("*.json", "*.safetensors")
"""What is fetched from the hub; never code and never a pickle."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_EXECUTABLE = frozenset(
    {".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".py", ".so"}
)


@dataclass(frozen=True, kw_only=True)
class LeRobotSource:
    """A LeRobot checkpoint that was found.

    Attributes:
        named: What it was called by.
        directory: Where its config.json is.
        options: What somebody said about it beyond that.
        options_file: Where that is said, or where it could be.
    """

    named: Path
    directory: Path
    options: LeRobotOptions
    options_file: Path


def is_lerobot(path: Path) -> bool:
    """Tell whether a path can only mean a LeRobot checkpoint and not one of this software."""
    if path.is_file():
        return path.suffix in (".yaml", ".yml")
    if not path.exists():
        return is_hub_id(path)
    return not any((path / name).exists() for name in OWN_FILES) and _place(path) is not None


def is_hub_id(path: Path) -> bool:
    """Tell whether a path that does not exist reads as ``owner/name`` on the model hub."""
    return _HUB_ID.fullmatch(str(path)) is not None and not path.parent.exists()


def locate(path: Path) -> LeRobotSource:
    """Find a LeRobot checkpoint; one of the hub is fetched unless it was before.

    Raises:
        CheckpointError: There is none, or the hub cannot be reached.
        ConfigError: The options file is broken.
    """
    if path.is_file():
        options = _read_options(path)
        if not options.checkpoint:
            raise ConfigError(f"{path}: says no checkpoint: a directory or a model of the hub")
        beside = path.parent / Path(options.checkpoint).expanduser()
        inner = beside if beside.exists() else Path(options.checkpoint)
        return LeRobotSource(
            named=path, directory=_directory(inner), options=options, options_file=path
        )
    directory = _directory(path)
    file = (path if path.is_dir() else directory) / OPTIONS_FILE
    options = _read_options(file) if file.exists() else LeRobotOptions()
    if options.checkpoint:
        raise ConfigError(f"{file}: checkpoint is {directory} and cannot be another one")
    return LeRobotSource(named=path, directory=directory, options=options, options_file=file)


def check_files(directory: Path) -> dict[str, Path]:
    """Return every file of a checkpoint by its relative name.

    Raises:
        CheckpointError: One is a link out of it, no regular file or of a kind that loading would
            execute; or its weights are absent.
    """
    files = {}
    for root, folders, names in os.walk(directory):
        for name in (*folders, *names):
            path = Path(root) / name
            _check_kind(path, directory)
            if path.is_file():
                files[path.relative_to(directory).as_posix()] = path
    if WEIGHTS not in files and ADAPTER_WEIGHTS not in files:
        raise CheckpointError(f"{directory}: holds no {WEIGHTS}; no other weights are read")
    return files


def lerobot_sha256(path: Path) -> str:
    """Return the sha256 over every file of a LeRobot checkpoint and what was said about it.

    Raises:
        CheckpointError: It cannot be found or holds what must not be in it.
    """
    source = locate(path)
    files = check_files(source.directory)
    if source.options_file.exists():
        files[f"/{OPTIONS_FILE}"] = source.options_file
    lines = [f"{file_sha256(file)} {name}\n" for name, file in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def fetch(name: str, patterns: tuple[str, ...] = WANTED) -> Path:
    """Return the directory of a hub repository's files, from the cache where they are in it.

    Raises:
        CheckpointError: They cannot be had; the message says what is missing and where it was
            looked for.
    """
    try:
        from huggingface_hub import constants, snapshot_download
    except ImportError:
        raise CheckpointError(
            f"{name}: no such directory, and no huggingface_hub to fetch it; make lerobot"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's client has a dozen, of four libraries
        raise CheckpointError(hub_problem(name, constants.HF_HUB_CACHE, error)) from error


def hub_problem(name: str, cache: str, error: Exception) -> str:
    """Say in one line why something of the hub cannot be had.

    Args:
        name: Repository.
        cache: Directory that was looked into.
        error: What its client, or transformers, raised.
    """
    reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:200]
    causes = [type(error).__name__, str(error)]
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        advice = "HF_HUB_OFFLINE is set: unset it, or put a copy into the checkpoint"
    elif any(word in text for text in causes for word in ("Gated", "gated", "401", "403")):
        advice = f"accept its terms at huggingface.co/{name} and log in with: hf auth login"
    else:
        advice = "is its name right and the hub reachable?"
    return f"{name}: not a directory, and not in the hub's cache {cache}; {advice} ({reason})"


def _read_options(file: Path) -> LeRobotOptions:
    return from_mapping(LeRobotOptions, load_yaml(file), str(file))


def _directory(path: Path) -> Path:
    if not path.exists() and is_hub_id(path):
        return fetch(str(path))
    place = _place(path)
    if place is None:
        raise CheckpointError(f"{path}: no LeRobot checkpoint: no {CONFIG} that names a policy")
    return place


def _place(path: Path) -> Path | None:
    for place in PLACES:
        config, adapter = path / place / CONFIG, path / place / ADAPTER_CONFIG
        if adapter.is_file() or (config.is_file() and "type" in read_json(config.resolve())):
            return path / place
    return None


def _check_kind(path: Path, directory: Path) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode) and not _is_blob(path, directory):
        raise CheckpointError(f"{path}: is a link; a checkpoint holds its files itself")
    if not (stat.S_ISLNK(mode) or stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise CheckpointError(f"{path}: is no regular file")
    if path.suffix.lower() in _EXECUTABLE:
        raise CheckpointError(
            f"{path}: loading such a file can execute what is in it; only safetensors are read"
        )


def _is_blob(path: Path, directory: Path) -> bool:
    """Tell whether a link is the hub cache's own, from a snapshot to the file's content."""
    if directory.parent.name != "snapshots":
        return False
    target = path.resolve()
    return target.parent == (directory.parent.parent / "blobs").resolve() and target.is_file()
