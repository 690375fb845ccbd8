"""Copies episodes of any store, remote or not, into a directory, with their labels."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from so101.data.durable import store_error, sync_directory, write_text
from so101.data.labels.label_merge import canonical, merge_histories
from so101.data.labels.labels import FILE_NAME as LABELS_NAME
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.data.stores.upload import describe, read_local_labels
from so101.errors import StoreError

_COPYING = ".copying-"


@dataclass(kw_only=True)
class DownloadReport:
    """What was done, by directory names.

    Attributes:
        copied: Episodes that are new in the directory.
        present: Episodes that were there before, with the same content.
        labelled: Episodes that were there before and got labels.
    """

    copied: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    labelled: list[str] = field(default_factory=list)


def download(source: EpisodeStore, entries: Sequence[EpisodeEntry], root: Path) -> DownloadReport:
    """Copy episodes; what is there already gets the labels it lacks.

    Args:
        source: Their store.
        entries: The episodes.
        root: Directory of bags; made if it is new.

    Raises:
        StoreError: An episode cannot be used, the directory has another one of its name, is in
            use, or cannot be written.
        BagError: The source holds other bytes than it should.
    """
    if broken := [entry for entry in entries if entry.problem]:
        raise StoreError(f"{broken[0].path.name}: cannot be copied: {broken[0].problem}")
    target, report = EpisodeStore(root), DownloadReport()
    target.lock()
    try:
        taken = {entry.facts.id: entry.path.name for entry in target.episodes()}
        for entry in entries:
            if taken.get(entry.facts.id, entry.path.name) != entry.path.name:
                raise StoreError(
                    f"{root / taken[entry.facts.id]}: is called {entry.facts.id!r} as "
                    f"{entry.path.name} is; choose another directory"
                )
            _copy(source.fetch(entry), root / entry.path.name, report)
            _merge_labels(target, entry.path, root / entry.path.name, report)
        target.rebuild_index(is_trusted=True)
    except OSError as error:
        raise store_error(root, error) from error
    finally:
        target.close()
    return report


def _copy(bag: Path, target: Path, report: DownloadReport) -> None:
    if target.exists():
        ours, theirs = describe(target).content, describe(bag).content
        if ours != theirs:
            raise StoreError(
                f"{target}: is there with other content, sha256 {ours} instead of {theirs}"
            )
        report.present.append(target.name)
        return
    part = target.with_name(_COPYING + target.name)
    if bag.is_file():
        shutil.copyfile(bag, part)
    else:
        shutil.rmtree(part, ignore_errors=True)  # left by an interrupted copy
        shutil.copytree(bag, part, ignore=shutil.ignore_patterns(LABELS_NAME, ".*", "*.tmp"))
    if describe(part).files != describe(bag).files:
        raise StoreError(f"{target}: the copy is not the same")
    os.rename(part, target)
    sync_directory(target.parent)
    report.copied.append(target.name)


def _merge_labels(store: EpisodeStore, bag: Path, target: Path, report: DownloadReport) -> None:
    theirs = read_local_labels(bag)
    if theirs is None:
        return
    with store.labels_locked():
        ours = read_local_labels(target)
        merged = merge_histories([theirs] if ours is None else [theirs, ours])
        if merged == ours:
            return
        write_text(target / LABELS_NAME, canonical(merged) + "\n")
    if target.name in report.present:
        report.labelled.append(target.name)
