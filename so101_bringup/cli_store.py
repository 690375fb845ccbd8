"""Episodes that a run left behind: list them, look at one, say how they went. Needs no ROS."""

import argparse
from pathlib import Path
from typing import Any

from so101_bringup import cli_label, cli_store_care, cli_store_remote
from so101_bringup.cli_common import (
    add_action,
    add_json,
    add_of,
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
    show.add_argument(
        "--png", default="", metavar="PATH", help="draw it too: a .png file, or a directory"
    )
    show.add_argument(
        "--history", action="store_true", help="everything that was ever said, and what counts"
    )
    add_of(show)
    add_store(show)
    add_json(show)
    cli_label.add_action_label(actions)
    cli_store_care.add_actions(actions)
    cli_store_remote.add_actions(actions)


def _list(arguments: argparse.Namespace) -> int:
    from so101.data.bags.bag_writer import PART
    from so101.data.stores.episode_mapping import entry_mapping
    from so101.data.stores.episode_table import format_list

    store = open_store(arguments.store, arguments.cache)
    entries = store.episodes()
    if arguments.json:
        print_json([entry_mapping(entry) for entry in entries])
        return 0
    print(format_list(entries))
    if parts := len([*store.root.glob(f"[!.]*{PART}")]):
        print(f"{parts} unfinished: being recorded now, or 'so101 episodes recover' saves it")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from so101.data.episodes.episode_reader import EpisodeReader
    from so101.data.labels.label_table import format_history, format_labels
    from so101.data.labels.labels import last_words, read_labels
    from so101.data.stores.episode_mapping import entry_mapping, episode_mapping
    from so101.data.stores.episode_table import format_episode, format_inner
    from so101.data.stores.inner_episodes import find_inner, inner_entries

    store = open_store(arguments.store, arguments.cache)
    entry = select_one(store, arguments.episode)
    target = _picture_path(arguments.png, entry.path) if arguments.png else None
    reader = EpisodeReader(store.fetch(entry))
    history = read_labels(entry.path)
    if len(reader) > 1:
        inner = inner_entries(reader, entry)
        if not (arguments.of or arguments.png):
            shown = [entry_mapping(one) for one in inner]
            print_json(shown) if arguments.json else print(format_inner(inner))
            return 0
        entry = inner[find_inner(reader, arguments.of)]
        history = tuple(label for label in history if label.episode == entry.facts.id)
    episode = reader.read(find_inner(reader, arguments.of))
    if target is not None:
        from so101_bringup.sheet.sheet import write_sheet

        write_sheet(target, episode, entry, last_words(history))
    if arguments.json:
        drawn = {} if target is None else {"png": target}
        print_json({**episode_mapping(entry, episode, history), **drawn})
        return 0
    print(format_episode(entry, episode))
    if arguments.history:
        print(f"\n{format_history(history)}")
    elif labels := last_words(history):
        print(f"\n{format_labels(labels)}")
    if target is not None:
        print(f"\nwritten to {target}")
    return 0


def _picture_path(text: str, bag: Path) -> Path:
    """Return the file to draw to; a directory gets one that is called like the bag.

    Raises:
        ConfigError: It is neither a directory nor a .png file, or lies in a bag.
    """
    from so101.data.bags.bag_metadata import FILE_NAME as METADATA
    from so101.errors import ConfigError

    path = Path(text).expanduser()
    if path.is_dir():
        path = path / f"{bag.stem if bag.is_file() else bag.name}.png"
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--png {text}: neither a directory that exists nor a .png file")
    if (path.resolve().parent / METADATA).exists():
        raise ConfigError(f"--png {text}: lies in a bag, and nothing is written into bags")
    return path
