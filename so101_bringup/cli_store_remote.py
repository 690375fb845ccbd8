"""Episodes between a directory and a remote store: upload, download, and the index of either."""

import argparse
from pathlib import Path
from typing import Any

from so101_bringup.cli_common import (
    add_action,
    add_json,
    add_store,
    local_path,
    open_store,
    print_json,
)

NOT_ALL = 3
"""Exit code when some episodes could not be sent."""


def add_actions(actions: Any) -> None:
    """Add what can be done with episodes."""
    upload = add_action(actions, "upload", _upload, "send finished episodes to a remote store")
    upload.add_argument("--to", required=True, metavar="URL", help="file, s3, sftp or memory URL")
    upload.add_argument("--watch", action="store_true", help="go on as episodes are recorded")
    upload.add_argument(
        "--check", action="store_true", help="read everything back, also what was sent before"
    )
    upload.add_argument(
        "--delete-local", action="store_true", help="delete bags whose copy was read back"
    )
    download = add_action(
        actions, "download", _download, "copy episodes of a store to a directory"
    )
    download.add_argument("--to", required=True, metavar="DIR", help="directory of bags")
    download.add_argument(
        "--only", default="all", metavar="SELECTION", help="such as 1,4,5-7, or an id (all)"
    )
    index = add_action(actions, "index", _index, "write the index of a store anew from its bags")
    for parser in (upload, download, index):
        add_store(parser)
    for parser in (upload, download):
        add_json(parser)


def _upload(arguments: argparse.Namespace) -> int:
    from so101.errors import ConfigError
    from so101_bringup.upload_job import upload, watch

    root = local_path(arguments.store, "upload", is_new=arguments.watch)
    if arguments.watch:
        if arguments.delete_local or arguments.check or arguments.json:
            raise ConfigError("upload: --watch goes without --delete-local, --check and --json")
        return watch(root, arguments.to, say=print)
    say = (lambda line: None) if arguments.json else print
    report = upload(
        root,
        arguments.to,
        say=say,
        is_checked=arguments.check,
        deletes=arguments.delete_local,
    )
    if arguments.json:
        print_json(vars(report))
    return NOT_ALL if report.failed or report.refused else 0


def _download(arguments: argparse.Namespace) -> int:
    from so101.data.stores.download import download
    from so101.data.stores.episode_table import select

    store = open_store(arguments.store, arguments.cache)
    chosen = select(store.episodes(), arguments.only)
    target = Path(local_path(arguments.to, "download", is_new=True))
    done = download(store, chosen, target)
    if arguments.json:
        print_json(vars(done))
        return 0
    print(
        f"{target}: {len(done.copied)} episodes copied, {len(done.present)} were there, "
        f"{len(done.labelled)} have new labels"
    )
    return 0


def _index(arguments: argparse.Namespace) -> int:
    store = open_store(arguments.store, arguments.cache)
    try:
        count = store.rebuild_index()
    finally:
        store.close()
    print(f"{arguments.store}: {count} episodes in the index")
    return 0
