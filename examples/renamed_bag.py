"""Copies a bag into a store under our topic names; the messages themselves stay as they are.

python examples/renamed_bag.py BAG STORE ID /their/topic=our_topic ...
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from so101.data.bags.bag import open_bag
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import EpisodeFacts, Outcome
from so101.errors import BagError, So101Error
from so101.topics import Topic

TASK_KEYS = ("task", "lerobot.operator_prompt")  # ours, rosetta's


def copy(path: Path, store: Path, episode: str, names: dict[str, str]) -> Path:
    """Copy the topics that are named, as a successful demonstration.

    Args:
        path: The bag.
        store: Directory of episodes; made if it is absent.
        episode: Id of the new one, unlike any in the store.
        names: Our relative name by the topic's name in the bag.

    Raises:
        BagError: It cannot be read, or lacks a topic.
        StoreError: The store cannot be written, or has such an episode.
    """
    bag = open_bag(path)
    if absent := sorted(names.keys() - bag.types.keys()):
        raise BagError(f"{path}: no topic {', '.join(absent)}; it holds {', '.join(bag.types)}")
    task = next((bag.custom_data[key] for key in TASK_KEYS if key in bag.custom_data), "")
    facts = EpisodeFacts(id=episode, phase="demonstrations", source="teleop", task=task)
    topics = [Topic(name=ours, type=bag.types[theirs], doc="") for theirs, ours in names.items()]
    wall_time = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    recording = EpisodeStore(store).begin(facts, topics, wall_time)
    for message in bag.messages(names.keys()):
        recording.write(names[message.topic], message.data, *2 * (message.log_time_ns,))
    return recording.finish(Outcome.SUCCESS, {}).path


def main(argv: list[str]) -> int:
    """Copy what the command line names."""
    try:
        bag, store, episode, *pairs = argv
        print(copy(Path(bag), Path(store), episode, dict(pair.split("=") for pair in pairs)))
    except (So101Error, ValueError) as error:
        print(f"{error}\n{__doc__}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
