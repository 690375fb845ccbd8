"""Verbs on what a run left behind: episodes. They need no running graph and no ROS."""

import argparse
import getpass
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so101_bringup.paths import RunPaths

if TYPE_CHECKING:
    from so101.data.episode_store import EpisodeStore
    from so101.data.store_entry import EpisodeEntry

DEFAULT_STORE = "runs/rl"
FOUND_PROBLEMS = 1


def add_verbs(verbs: Any) -> None:
    """Add the verbs to the parser."""
    episodes = verbs.add_parser("episodes", help="list, show, label, check recorded episodes")
    actions = episodes.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_store(_add(actions, "list", _list, "number, id, outcome and length of every episode"))
    show = _add(actions, "show", _show, "everything that is known about one episode")
    show.add_argument("episode", metavar="EPISODE", help="number in the list, or id")
    add_store(show)
    label = _add(actions, "label", _label, "say how episodes went; bags are never changed")
    label.add_argument("selection", metavar="SELECTION", help="such as 1,4,5-7, all, or an id")
    label.add_argument("--outcome", default="", help="success, failure, truncated or discarded")
    label.add_argument("--advantage", type=float, default=None, help="a number, for learners")
    label.add_argument("--reason", action="append", default=[], help="why; may be repeated")
    label.add_argument("--rater", default="", metavar="NAME", help="who says so (your user name)")
    add_store(label)
    add_store(_add(actions, "verify", _verify, "check every bag down to the last byte"))
    add_store(_add(actions, "recover", _recover, "make unfinished recordings readable"))


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the directory of a run."""
    parser.add_argument(
        "--store",
        default=DEFAULT_STORE,
        metavar="DIR",
        help=f"directory of the run, or of bags ({DEFAULT_STORE})",
    )


def episodes_path(store: str) -> Path:
    """Return the episode store in a run's directory; any other directory is one itself.

    Raises:
        StoreError: There is no such directory.
    """
    from so101.errors import StoreError

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
    from so101.data.episode_table import select
    from so101.errors import ConfigError

    found = select(store.episodes(), text)
    if len(found) != 1:
        raise ConfigError(f"{text!r} names {len(found)} episodes; use its number in the list")
    return found[0]


def _add(actions: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _list(arguments: argparse.Namespace) -> int:
    from so101.data.episode_store import EpisodeStore
    from so101.data.episode_table import format_list

    store = EpisodeStore(episodes_path(arguments.store))
    print(format_list(store.episodes()))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from so101.data.episode_reader import read_episode
    from so101.data.episode_store import EpisodeStore
    from so101.data.episode_table import format_episode

    store = EpisodeStore(episodes_path(arguments.store))
    entry = select_one(store, arguments.episode)
    print(format_episode(entry, read_episode(entry.path)))
    for label in store.labels(entry.path.name):
        said = [label.outcome] if label.outcome else []
        said += [] if label.advantage is None else [f"advantage {label.advantage:g}"]
        print(f"{label.rater} says: {', '.join([*said, *label.reasons])}")
    return 0


def _label(arguments: argparse.Namespace) -> int:
    from so101.data.episode_store import EpisodeStore
    from so101.data.episode_table import select
    from so101.errors import ConfigError
    from so101.events import LabelEvent

    if not arguments.outcome and arguments.advantage is None and not arguments.reason:
        raise ConfigError("label: say something: --outcome, --advantage or --reason")
    if arguments.advantage is not None and not math.isfinite(arguments.advantage):
        raise ConfigError(f"label: --advantage {arguments.advantage} is not finite")
    store = EpisodeStore(episodes_path(arguments.store))
    chosen = select(store.episodes(), arguments.selection)
    for entry in chosen:
        store.add_label(
            LabelEvent(
                stamp_ns=time.time_ns(),
                episode=entry.facts.id,
                rater=arguments.rater or getpass.getuser(),
                outcome=arguments.outcome,
                advantage=arguments.advantage,
                reasons=tuple(arguments.reason),
            )
        )
        print(f"{entry.facts.id}: labelled")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from so101.data.episode_store import EpisodeStore
    from so101.data.episode_table import format_verified

    results = EpisodeStore(episodes_path(arguments.store)).verify()
    print(format_verified(results))
    return FOUND_PROBLEMS if any(result.problems for result in results) else 0


def _recover(arguments: argparse.Namespace) -> int:
    from so101.data.episode_store import EpisodeStore
    from so101.data.episode_table import format_recovered

    store = EpisodeStore(episodes_path(arguments.store))
    try:
        print(format_recovered(store.recover()))
    finally:
        store.close()
    return 0
