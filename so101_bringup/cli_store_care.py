"""Care of recorded episodes: check them, count them, recover and delete what is of no use."""

import argparse
from typing import Any

from so101_bringup.cli_common import (
    add_action,
    add_json,
    add_store,
    local_path,
    open_store,
    print_json,
)

FOUND_PROBLEMS = 2


def add_actions(actions: Any) -> None:
    """Add what can be done with episodes."""
    verify = add_action(actions, "verify", _verify, "check every bag down to the last byte")
    recover = add_action(actions, "recover", _recover, "make unfinished recordings readable")
    stats = add_action(actions, "stats", _stats, "how many, how long, how large, by phase")
    prune = add_action(actions, "prune", _prune, "delete episodes nobody will learn from")
    prune.add_argument(
        "--outcome",
        action="append",
        default=[],
        metavar="OUTCOME",
        help="discarded (the default), incomplete or unusable; may be repeated",
    )
    prune.add_argument("--yes", action="store_true", help="delete; else they are only listed")
    for parser in (verify, recover, stats, prune):
        add_store(parser)
        add_json(parser)


def _verify(arguments: argparse.Namespace) -> int:
    from so101.data.stores.episode_mapping import verified_mapping
    from so101.data.stores.episode_table import format_verified

    results = open_store(arguments.store, arguments.cache).verify()
    if arguments.json:
        print_json([verified_mapping(result) for result in results])
    else:
        print(format_verified(results))
    return FOUND_PROBLEMS if any(result.problems for result in results) else 0


def _recover(arguments: argparse.Namespace) -> int:
    from so101.data.stores.episode_mapping import recovered_mapping
    from so101.data.stores.episode_store import EpisodeStore
    from so101.data.stores.episode_table import format_recovered

    store = EpisodeStore(local_path(arguments.store, "recover"))
    try:
        results = store.recover()
    finally:
        store.close()
    if arguments.json:
        print_json([recovered_mapping(result) for result in results])
    else:
        print(format_recovered(results))
    return 0


def _stats(arguments: argparse.Namespace) -> int:
    from so101.data.stores.episode_table import format_stats
    from so101.data.stores.store_stats import store_stats

    store = open_store(arguments.store, arguments.cache)
    stats = store_stats(store.episodes(), store.room_of)
    if arguments.json:
        print_json([one.to_mapping() for one in stats])
    else:
        print(format_stats(stats))
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    from so101.data.stores.episode_mapping import entry_mapping
    from so101.data.stores.episode_store import EpisodeStore
    from so101.data.stores.episode_table import format_list
    from so101.data.stores.pruning import choose, prune
    from so101.data.stores.store_stats import room_of

    store = EpisodeStore(local_path(arguments.store, "prune"))
    entries = store.episodes()
    chosen = choose(entries, arguments.outcome or ["discarded"])
    numbers = [number for number, entry in enumerate(entries, 1) if entry in chosen]
    room = sum(room_of(entry.path) for entry in chosen)
    table = "" if arguments.json or not chosen else format_list(chosen, numbers)
    if arguments.yes:
        prune(store, chosen)
    if arguments.json:
        deleted = [entry_mapping(entry) for entry in chosen]
        print_json({"is_deleted": arguments.yes, "size_bytes": room, "episodes": deleted})
        return 0
    if not chosen:
        print("nothing to prune")
        return 0
    what = "deleted" if arguments.yes else "would be deleted; --yes does it"
    print(f"{table}\n{room / 1e6:.1f} MB {what}")
    return 0
