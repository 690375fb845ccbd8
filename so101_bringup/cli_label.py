"""The action that says how episodes went, or takes it back."""

import argparse
import getpass
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from so101_bringup.cli_common import (
    add_action,
    add_json,
    add_of,
    add_store,
    open_store,
    print_json,
)

if TYPE_CHECKING:
    from so101.data.stores.episode_store import EpisodeStore
    from so101.data.stores.store_entry import EpisodeEntry
    from so101.events import LabelEvent


def add_action_label(actions: Any) -> None:
    """Add the action to those on episodes."""
    label = add_action(actions, "label", _label, "say how episodes went; bags are never changed")
    label.add_argument("selection", metavar="SELECTION", help="such as 1,4,5-7, all, or an id")
    label.add_argument("--outcome", default="", help="success, failure, truncated or discarded")
    label.add_argument("--advantage", type=float, default=None, help="a number, for learners")
    label.add_argument("--reason", action="append", default=[], help="why; may be repeated")
    label.add_argument("--note", default="", metavar="TEXT", help="a remark for people")
    label.add_argument("--undo", action="store_true", help="take the rater's last word back")
    label.add_argument("--all", action="store_true", help="with --undo: everybody's last word")
    label.add_argument("--rater", default="", metavar="NAME", help="who says so (your user name)")
    add_of(label)
    add_store(label)
    add_json(label)


def _label(arguments: argparse.Namespace) -> int:
    from so101.data.labels.labels import check_label
    from so101.data.stores.episode_table import select

    _check(arguments)
    store = open_store(arguments.store, arguments.cache)
    bags = select(store.episodes(), arguments.selection)
    chosen = [_inner(arguments, store, bag) for bag in bags] if arguments.of else bags
    said = [(entry, label) for entry in chosen for label in _words(arguments, entry)]
    labels = [label for _, label in said]
    for label in labels:  # all of them before the first is written
        check_label(label)
    store.add_labels(labels, [entry for entry, _ in said])
    if arguments.of:
        after = [_inner(arguments, store, bag) for bag in bags]
    else:
        now = {entry.path: entry for entry in store.episodes()}
        after = [now.get(entry.path, entry) for entry in chosen]
    _report(arguments, chosen, after, labels)
    return 0


def _inner(
    arguments: argparse.Namespace, store: "EpisodeStore", bag: "EpisodeEntry"
) -> "EpisodeEntry":
    """Return the one episode of a bag of several that is meant."""
    from so101.data.episodes.episode_reader import EpisodeReader
    from so101.data.stores.inner_episodes import find_inner, inner_entries

    reader = EpisodeReader(store.fetch(bag))
    return inner_entries(reader, bag)[find_inner(reader, arguments.of)]


def _check(arguments: argparse.Namespace) -> None:
    from so101.errors import ConfigError

    if arguments.undo and _says(arguments):
        raise ConfigError("label: --undo takes a word back; say the new one in a second command")
    if arguments.all and not arguments.undo:
        raise ConfigError("label: --all goes with --undo; the selection 'all' means every episode")
    if not (_says(arguments) or arguments.undo or arguments.note):
        raise ConfigError("label: say something: --outcome, --advantage, --reason, --note, --undo")


def _words(arguments: argparse.Namespace, entry: "EpisodeEntry") -> list["LabelEvent"]:
    """Return what is said of one episode: a word, or one taken back per rater.

    A note alone goes with the rater's last word, which it would replace otherwise.
    """
    from so101.data.labels.labels import last_words, read_labels
    from so101.events import LabelEvent

    history = read_labels(entry.path)
    if arguments.of:
        history = tuple(label for label in history if label.episode == entry.facts.id)
    said = last_words(history)
    rater = arguments.rater or getpass.getuser()
    label = LabelEvent(
        stamp_ns=time.time_ns(),
        episode=entry.facts.id,
        rater=rater,
        outcome=arguments.outcome,
        advantage=arguments.advantage,
        reasons=tuple(arguments.reason),
        note=arguments.note,
    )
    if arguments.undo:
        whose = _whose(entry, said, "" if arguments.all else rater)
        return [replace(label, undoes=one) for one in whose]
    mine = [one for one in said if one.rater == rater and not _says(arguments)]
    return [replace(one, stamp_ns=label.stamp_ns, note=label.note) for one in mine] or [label]


def _says(arguments: argparse.Namespace) -> bool:
    """Tell whether there is more than a note."""
    return bool(arguments.outcome or arguments.reason) or arguments.advantage is not None


def _whose(entry: "EpisodeEntry", said: Sequence["LabelEvent"], rater: str) -> list[str]:
    """Return whose last word on an episode can be taken back.

    Args:
        entry: The episode.
        said: Everybody's last word on it.
        rater: Only this one's; empty for everybody's.

    Raises:
        ConfigError: There is no such word.
    """
    from so101.errors import ConfigError

    raters = [label.rater for label in said]
    if not raters:
        raise ConfigError(f"{entry.facts.id}: nobody has said anything that could be taken back")
    if rater and rater not in raters:
        known = ", ".join(raters)
        raise ConfigError(
            f"{entry.facts.id}: {rater} has said nothing that could be taken back, but {known}: "
            "--rater NAME or --all"
        )
    return [rater] if rater else raters


def _report(
    arguments: argparse.Namespace,
    chosen: Sequence["EpisodeEntry"],
    after: Sequence["EpisodeEntry"],
    labels: Sequence["LabelEvent"],
) -> None:
    """Print what was said, and what is now held for true."""
    from so101.data.labels.label_table import label_mapping
    from so101.data.stores.episode_table import format_labelled
    from so101.data.stores.store_stats import outcome_of

    if not arguments.json:
        print(format_labelled(chosen, after, labels))
        return
    said = [
        {
            "id": entry.facts.id,
            "outcome_before": outcome_of(before),
            "outcome": outcome_of(entry),
            "labels": [label_mapping(one) for one in labels if one.episode == entry.facts.id],
        }
        for before, entry in zip(chosen, after, strict=True)
    ]
    print_json(said)
