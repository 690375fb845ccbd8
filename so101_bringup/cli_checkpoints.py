"""Verbs on checkpoints: list, promote, roll back, bring in, take out. No ROS."""

import argparse
from pathlib import Path
from typing import Any

from so101_bringup.cli_common import DEFAULT_STORE, add_action
from so101_bringup.paths import RunPaths


def add_verbs(verbs: Any) -> None:
    """Add the verb to the parser."""
    checkpoints = verbs.add_parser("checkpoints", help="list, promote, load, save checkpoints")
    actions = checkpoints.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add(actions, "list", _list, "every checkpoint, its roles and what it was trained on")
    promote = _add(actions, "promote", _promote, "make a checkpoint the promoted one")
    promote.add_argument("path", nargs="?", default="", metavar="PATH", help="(the candidate)")
    _add(actions, "rollback", _rollback, "make the previously promoted one the promoted one again")
    load = _add(actions, "load", _load, "copy a checkpoint into the store, as the candidate")
    load.add_argument("path", metavar="PATH", help="a checkpoint directory")
    save = _add(actions, "save", _save, "copy the promoted checkpoint to a new name")
    save.add_argument("name", metavar="NAME", help="name in the store, or a path with a slash")


def checkpoints_path(store: str) -> Path:
    """Return the directory of a run's checkpoints."""
    return RunPaths(root=Path(store).expanduser()).checkpoints


def _add(actions: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser = add_action(actions, name, run, text)
    parser.add_argument(
        "--store", default=DEFAULT_STORE, metavar="DIR", help=f"the run ({DEFAULT_STORE})"
    )
    return parser


def _list(arguments: argparse.Namespace) -> int:
    from so101.policies.checkpoints.roles import list_checkpoints

    root = checkpoints_path(arguments.store)
    listings = list_checkpoints(root)
    for item in listings:
        name = f"{item.path.parent.name}/{item.path.name}"
        roles = ", ".join(item.roles)
        if item.checkpoint is None:
            print(f"{name:<30} {roles:<20} {item.problem}")
            continue
        record = item.checkpoint.record
        loss = record.metrics.get("loss")
        print(
            f"{name:<30} {item.checkpoint.sha256[:12]}  {roles:<20} "
            f"{len(record.episodes)} episodes" + ("" if loss is None else f", loss {loss:.4f}")
        )
    print(f"{len(listings)} checkpoints in {root}")
    return 0


def _promote(arguments: argparse.Namespace) -> int:
    from so101.errors import CheckpointError
    from so101.policies.checkpoints.roles import latest, promote

    root = checkpoints_path(arguments.store)
    path = Path(arguments.path).expanduser()
    if not arguments.path:
        candidate = latest(root, "candidate")
        if candidate is None:
            raise CheckpointError(f"{root}: there is no candidate")
        path = candidate.path
    promote(root, path)
    print(f"promoted {path}")
    return 0


def _rollback(arguments: argparse.Namespace) -> int:
    from so101.policies.checkpoints.roles import rollback

    print(f"promoted {rollback(checkpoints_path(arguments.store)).path}")
    return 0


def _load(arguments: argparse.Namespace) -> int:
    from so101.policies.checkpoints.copy import load_into

    checkpoint = load_into(checkpoints_path(arguments.store), Path(arguments.path).expanduser())
    print(f"candidate {checkpoint.path}")
    return 0


def _save(arguments: argparse.Namespace) -> int:
    from so101.policies.checkpoints.copy import save_to

    print(f"saved {save_to(checkpoints_path(arguments.store), arguments.name).path}")
    return 0
