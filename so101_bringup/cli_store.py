"""Episodes that a run left behind: list them, look at one, say how they went. Needs no ROS."""

import argparse
import getpass
import math
import time
from typing import Any

from so101_bringup import cli_store_care, cli_store_remote
from so101_bringup.cli_common import (
    add_action,
    add_json,
    add_store,
    open_store,
    print_json,
    select_one,
)


def add_verbs(verbs: Any) -> None:
    """Add the verbs to the parser."""
    episodes = verbs.add_parser("episodes", help="list, show, label, check recorded episodes")
    actions = episodes.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add_action(actions, "list", _list, "number, id, outcome and length of every episode")
    add_store(listing)
    add_json(listing)
    show = add_action(actions, "show", _show, "everything that is known about one episode")
    show.add_argument("episode", metavar="EPISODE", help="number in the list, or id")
    add_store(show)
    add_json(show)
    label = add_action(actions, "label", _label, "say how episodes went; bags are never changed")
    label.add_argument("selection", metavar="SELECTION", help="such as 1,4,5-7, all, or an id")
    label.add_argument("--outcome", default="", help="success, failure, truncated or discarded")
    label.add_argument("--advantage", type=float, default=None, help="a number, for learners")
    label.add_argument("--reason", action="append", default=[], help="why; may be repeated")
    label.add_argument("--rater", default="", metavar="NAME", help="who says so (your user name)")
    add_store(label)
    cli_store_care.add_actions(actions)
    cli_store_remote.add_actions(actions)


def _list(arguments: argparse.Namespace) -> int:
    from so101.data.episode_mapping import entry_mapping
    from so101.data.episode_table import format_list

    entries = open_store(arguments.store, arguments.cache).episodes()
    if arguments.json:
        print_json([entry_mapping(entry) for entry in entries])
    else:
        print(format_list(entries))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from so101.data.episode_mapping import episode_mapping
    from so101.data.episode_reader import read_episode
    from so101.data.episode_table import format_episode

    store = open_store(arguments.store, arguments.cache)
    entry = select_one(store, arguments.episode)
    episode, labels = read_episode(store.fetch(entry)), store.labels(entry.path.name)
    if arguments.json:
        print_json(episode_mapping(entry, episode, labels))
        return 0
    print(format_episode(entry, episode))
    for label in labels:
        said = [label.outcome] if label.outcome else []
        said += [] if label.advantage is None else [f"advantage {label.advantage:g}"]
        print(f"{label.rater} says: {', '.join([*said, *label.reasons])}")
    return 0


def _label(arguments: argparse.Namespace) -> int:
    from so101.data.episode_table import select
    from so101.errors import ConfigError
    from so101.events import LabelEvent

    if not arguments.outcome and arguments.advantage is None and not arguments.reason:
        raise ConfigError("label: say something: --outcome, --advantage or --reason")
    if arguments.advantage is not None and not math.isfinite(arguments.advantage):
        raise ConfigError(f"label: --advantage {arguments.advantage} is not finite")
    store = open_store(arguments.store, arguments.cache)
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
