"""What several verbs share: how an action is added, and which directory and episode are meant."""

import argparse
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so101_bringup.paths import RunPaths

if TYPE_CHECKING:
    from so101.data.stores.episode_store import EpisodeStore
    from so101.data.stores.store_entry import EpisodeEntry
    from so101.servos.calibration_files import ArmKind

DEFAULT_STORE = "runs/rl"


def add_action(actions: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    """Add an action to a verb; return its parser."""
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the directory of a run."""
    parser.add_argument(
        "--store",
        default=DEFAULT_STORE,
        metavar="DIR",
        help=f"directory of the run, or of bags, or URL of a remote store ({DEFAULT_STORE})",
    )
    parser.add_argument(
        "--cache", default="", metavar="DIR", help="where bags of a remote store are kept"
    )


def add_of(parser: argparse.ArgumentParser) -> None:
    """Add the option that names one episode of a bag that holds several."""
    parser.add_argument(
        "--of", default="", metavar="ID", help="which episode of a bag that holds several"
    )


def open_store(name: str, cache: str = "") -> "EpisodeStore":
    """Return the store of a directory or URL; the directory of a run means the bags in it.

    Args:
        name: What ``--store`` says.
        cache: What ``--cache`` says; empty for the user's cache directory.

    Raises:
        ConfigError: The URL is not that of a store.
        StoreError: There is no such directory.
    """
    from so101.data.stores import open_store as stores
    from so101.data.stores.remote_files import is_url

    if not is_url(name):
        return stores.open_store(str(episodes_path(name)))
    return stores.open_store(
        name,
        cache=Path(cache).expanduser().absolute() if cache else None,
        say=lambda line: print(f"so101: {line}", file=sys.stderr),
    )


def local_path(store: str, verb: str, *, is_new: bool = False) -> Path:
    """Return the directory of bags that a verb works on.

    Args:
        store: A directory; that of a run means the bags in it.
        verb: Whose it is, for the error.
        is_new: It may be missing.

    Raises:
        ConfigError: It is a URL.
        StoreError: There is no such directory.
    """
    from so101.data.stores.remote_files import is_url
    from so101.errors import ConfigError

    if is_url(store):
        raise ConfigError(f"{verb}: works on a directory; {store} is a remote store")
    if is_new and not Path(store).expanduser().exists():
        return Path(store).expanduser()
    return episodes_path(store)


def episodes_path(store: str) -> Path:
    """Return the episode store in a run's directory; any other directory is one itself.

    Raises:
        ConfigError: It is a URL.
        StoreError: There is no such directory.
    """
    from so101.data.stores.remote_files import is_url
    from so101.errors import ConfigError, StoreError

    if is_url(store):
        raise ConfigError(f"{store}: is a remote store; this needs a directory")
    root = Path(store).expanduser()
    inside = RunPaths(root=root).episodes
    if inside.is_dir():
        return inside
    if not root.exists():
        raise StoreError(f"{root}: no such directory; --store names the directory of a run")
    return root


def select_one(store: "EpisodeStore", text: str) -> "EpisodeEntry":
    """Return the episode that a number in the listing, or an id, names.

    Raises:
        ConfigError: It names none or several.
    """
    from so101.data.stores.episode_table import select
    from so101.errors import ConfigError

    found = select(store.episodes(), text)
    if len(found) != 1:
        raise ConfigError(f"{text!r} names {len(found)} episodes; use its number in the list")
    return found[0]


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that asks for numbers instead of a table."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def print_json(value: Any) -> None:
    """Print a value of mappings, sequences, texts and numbers; what is not finite becomes null."""
    print(json.dumps(_plain(value), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add what says where a server infers."""
    parser.add_argument("--server", default="", metavar="URL", help="infers there: ws://host:port")
    parser.add_argument(
        "--server-token-file", default="", metavar="FILE", help="its token, readable by you only"
    )
    parser.add_argument("--server-ca", default="", metavar="FILE", help="certificates for wss")


def server_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the graph's options that `add_server` asked for."""
    names = ("server", "server_token_file", "server_ca")
    return {name: getattr(arguments, name) for name in names}


def add_real(parser: argparse.ArgumentParser) -> None:
    """Add what makes the robot a real one."""
    add = parser.add_argument
    add("--robot", default="", help="sim, real (real where --usb-port is given, else sim)")
    add("--usb-port", default="", metavar="PATH", help="of the real arm: /dev/serial/by-id/...")
    add("--calibration", default="", metavar="ID", help="of the real arm, or LeRobot's file of it")
    add("--write-eeprom", action="store_true", help="put right what its servos remember; once")
    add("--cameras", default=None, metavar="IDS", help="such as wrist,front; empty for none")


def calibration_file(kind: "ArmKind", named: str) -> str:
    """Return the calibration file that is named, or that of the arm with this id.

    Args:
        kind: Follower or leader.
        named: A file's path, or an id as `so101 calibrate --id` takes it; may be empty.

    Raises:
        ConfigError: No arm of this id was calibrated.
    """
    if not named or "/" in named or named.endswith(".json"):
        return named
    from so101.servos.calibration_files import calibration_root, find_calibration

    return str(find_calibration(calibration_root(os.environ, Path.home()), kind, named))


def real_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the graph's options that `add_real` asked for.

    Raises:
        ConfigError: A simulated robot is to have the port of a real one.
    """
    from so101.errors import ConfigError

    names = ("usb_port", "calibration", "write_eeprom")
    values = {name: getattr(arguments, name) for name in names}
    values["calibration"] = calibration_file("follower", arguments.calibration)
    values["robot"] = arguments.robot or ("real" if arguments.usb_port else "sim")
    if values["robot"] == "sim" and any(values[name] for name in names):
        raise ConfigError("--usb-port, --calibration and --write-eeprom are for --robot real")
    if arguments.cameras is not None:
        values["cameras"] = names_of(arguments.cameras)
    return values


def names_of(text: str) -> list[str]:
    """Return the names in a list with commas."""
    return [one.strip() for one in text.split(",") if one.strip()]
