"""Exchange with LeRobot: episodes to a LeRobotDataset v3 and back. Needs no ROS and no network."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from so101_bringup.cli_common import DEFAULT_STORE, add_store, episodes_path
from so101_bringup.paths import RunPaths

NOTHING_DONE = 2


def add_verbs(verbs: Any) -> None:
    """Add the verbs to the parser."""
    export = verbs.add_parser("export-lerobot", help="episodes to a LeRobotDataset v3")
    add_store(export)
    export.add_argument("--to", required=True, metavar="DIR", help="new directory of the dataset")
    _add_episodes(export)
    export.add_argument("--repo-id", default="", metavar="NAME", help="(local/<directory>)")
    export.add_argument(
        "--images",
        choices=("video", "image"),
        default="video",
        help="video: AV1, small; image: PNG, exact and large (video)",
    )
    export.set_defaults(run=_export)
    take = verbs.add_parser("import-lerobot", help="a local LeRobotDataset v3 to bags")
    take.add_argument("--from", dest="source", required=True, metavar="DIR", help="the dataset")
    take.add_argument(
        "--store", default=DEFAULT_STORE, metavar="DIR", help=f"made if absent ({DEFAULT_STORE})"
    )
    _add_episodes(take)
    take.add_argument(
        "--camera-map",
        action="append",
        default=[],
        metavar="ID=COLUMN",
        help="such as front=observation.images.top; may be repeated",
    )
    take.add_argument(
        "--units",
        choices=("auto", "degrees", "normalized"),
        default="auto",
        help="of joint values; asked for where they could be -100..100 (auto)",
    )
    take.add_argument("--calibration", default="", metavar="FILE", help="for --units normalized")
    take.add_argument("--quality", type=int, default=95, metavar="Q", help="of the JPEGs (95)")
    take.set_defaults(run=_import)


def _add_episodes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--episodes", default="all", metavar="SELECTION", help="such as 1,4,5-7 (all)"
    )


def _export(arguments: argparse.Namespace) -> int:
    from so101.data.exchange.lerobot_export import export_episodes
    from so101.data.stores.episode_store import EpisodeStore
    from so101.data.stores.episode_table import select

    store = EpisodeStore(episodes_path(arguments.store))
    entries = store.episodes()
    chosen = entries if arguments.episodes == "all" else select(entries, arguments.episodes)
    directory = Path(arguments.to).expanduser().absolute()
    began = time.monotonic()
    report = export_episodes(
        store,
        chosen,
        directory,
        repo_id=arguments.repo_id or f"local/{directory.name}",
        images=arguments.images,
        say=print,
    )
    rate = report.frames / (time.monotonic() - began)
    print(f"{directory}: {report.episodes} episodes, {report.frames} frames, {rate:.0f} frames/s")
    if report.left_out:
        print(f"split at gaps, never filled: {report.left_out} ticks are in no episode")
    if report.skipped:
        print(f"{len(report.skipped)} episodes skipped, see above")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from so101.config import from_mapping
    from so101.data.exchange.lerobot_import import ImportConfig, check_readable, import_episodes
    from so101.data.exchange.lerobot_source import open_source
    from so101.data.stores.episode_store import EpisodeStore
    from so101.data.stores.episode_table import parse_selection

    check_readable()
    values = {
        "units": arguments.units,
        "calibration": arguments.calibration,
        "cameras": _camera_map(arguments.camera_map),
        "jpeg_quality": arguments.quality,
    }
    config = from_mapping(ImportConfig, values, "import-lerobot")
    source = open_source(Path(arguments.source).expanduser().absolute())
    places = parse_selection(arguments.episodes, len(source.episodes))
    store = EpisodeStore(_new_store(arguments.store))
    try:
        report = import_episodes(
            source,
            [source.episodes[place] for place in places],
            store,
            config,
            wall_time=time.strftime("%Y%m%d-%H%M%S"),
            say=print,
        )
    finally:
        store.close()
    print("\n".join([f"{store.root}: {len(report.episodes)} episodes", *report.notes(source)]))
    return 0 if report.episodes else NOTHING_DONE


def _camera_map(texts: Sequence[str]) -> dict[str, str]:
    from so101.errors import ConfigError

    found: dict[str, str] = {}
    for text in texts:
        camera, _, column = text.partition("=")
        if not camera or not column or camera in found:
            raise ConfigError(f"--camera-map {text!r}: expected ID=COLUMN, every ID once")
        found[camera] = column
    return found


def _new_store(store: str) -> Path:
    """Return the episode store of a run, or where a new one will be."""
    root = Path(store).expanduser()
    return episodes_path(store) if root.exists() else RunPaths(root=root).episodes
