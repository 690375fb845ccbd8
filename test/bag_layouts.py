"""Bags as an independent writer makes them, and what it means that two episodes are the same."""

import itertools
from pathlib import Path

import numpy as np
import yaml
from factories import Rollout
from rosbags.rosbag2 import CompressionFormat, Writer

from so101.data.bags.custom_data import facts_to_text
from so101.data.bags.messages import definition, encode
from so101.episode import Episode

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def assert_same(found: list[Episode], expected: list[Episode]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for name, value in vars(other).items():
            actual = getattr(one, name)
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(actual, value, err_msg=name)
            elif name == "planned":
                assert list(actual) == list(value)
                np.testing.assert_array_equal([*actual.values()], [*value.values()])
            else:
                assert actual == value, name


def write_theirs(directory: Path, rollout: Rollout, storage, compression, **options) -> Path:
    """Write a rollout with the independent writer; several parts make a split bag of it."""
    parts = options.get("parts", 1)
    types = {m.topic.name: m.topic.type for m in rollout.messages}
    messages = rollout.messages
    cuts = np.linspace(0, len(messages), parts + 1).astype(int).tolist()
    written = []
    for number, (begin, end) in enumerate(itertools.pairwise(cuts)):
        path = directory if parts == 1 else directory.with_name(f"{directory.name}_{number}")
        writer = Writer(path, version=options.get("version", 9), storage_plugin=storage)
        writer.set_compression(compression, CompressionFormat.ZSTD)
        facts = facts_to_text(rollout.facts)
        with writer:
            for key, value in facts.items():
                writer.set_custom_data(key, value)
            prefix = options.get("prefix", "/")
            topics = {
                topic: writer.add_connection(
                    prefix + topic,
                    kind,
                    msgdef=definition(kind).text,
                    rihs01=definition(kind).hash,
                )
                for topic, kind in types.items()
            }
            for message in messages[begin:end]:
                data = encode(message.message)
                writer.write(topics[message.topic.name], message.log_time_ns, data)
        written.append(path)
    return directory if parts == 1 else join_parts(directory, written)


def join_parts(directory: Path, parts: list[Path]) -> Path:
    """Make one split bag of several, as rosbag2 leaves it: one metadata.yaml for all files."""
    directory.mkdir()
    told = [yaml.load((part / "metadata.yaml").read_text(), LOADER) for part in parts]
    whole, *rest = (one["rosbag2_bagfile_information"] for one in told)
    names = []
    for number, part in enumerate(parts):
        (file,) = (file for file in part.iterdir() if file.name != "metadata.yaml")
        names.append(f"{directory.name}_{number}.{file.name.split('.', 1)[1]}")
        file.rename(directory / names[-1])
    whole["message_count"] += sum(one["message_count"] for one in rest)
    whole["relative_file_paths"] = names
    (directory / "metadata.yaml").write_text(yaml.safe_dump(told[0]))
    return directory
