"""The player of rosbag2, and what of a bag it plays where.

Whatever is played has a namespace of its own: under the robot's names a bag of commands, or of
episodes that begin and end, would move an arm that runs in the same domain.
"""

from pathlib import Path

from so101.data.bags.bag_metadata import FILE_NAME, read_metadata
from so101.errors import ConfigError
from so101.topics import CLOCK, MARKERS, ROBOT_DESCRIPTION, robot_prefixes
from so101_bringup.foreign_nodes import existing_path, foreign_node
from so101_bringup.graph_options import GraphOptions
from so101_bringup.node_spec import NodeSpec, ParameterValue

NAMESPACE = "replay"
"""Where a bag is played unless somebody names another namespace."""

CLOCK_HZ = 60.0
"""How often a replay says what time it is [Hz]."""

_SAID_HERE = (f"/{ROBOT_DESCRIPTION.name}", "/tf")
_OF_EVERY_NODE = ("/rosout", "/parameter_events")


def player_node(options: GraphOptions) -> NodeSpec:
    """Return who plays a bag; the replay is over when it is.

    Raises:
        ConfigError: There is no such bag, or the player could not open it.
        BagError: It is corrupt.
    """
    path = existing_path("bag", options.bag)
    topics = topics_of(path)
    prefix = robot_prefix(topics)
    skipped = skipped_topics(topics, prefix, with_markers=not options.launch_rviz)
    values: dict[str, ParameterValue] = {
        "storage.uri": str(path),
        "play.rate": options.rate,
        "play.loop": options.loop,
        "play.start_paused": options.start_paused,
        # a recorded clock is that of the stamps; another one beside it would jump
        "play.clock_publish_frequency": 0.0 if CLOCK.name in topics else CLOCK_HZ,
        "play.disable_keyboard_controls": True,
        **({"play.exclude_topics_to_filter": skipped} if skipped else {}),
    }
    played = [topic for topic in topics if topic not in (*skipped, CLOCK.name)]
    return foreign_node(
        options,
        "rosbag2_transport",
        values,
        executable="player",
        is_essential=True,
        remappings=tuple(
            (topic, played_name(topic, prefix, options.namespace)) for topic in played
        ),
    )


def topics_of(path: Path) -> tuple[str, ...]:
    """Return the absolute names of a bag's topics.

    Raises:
        ConfigError: It is a directory without the file that the player needs, or a single file
            where what reads bags is missing.
        BagError: It is corrupt.
    """
    if path.is_file():
        return _topics_of_file(path)
    if not (path / FILE_NAME).is_file():
        raise ConfigError(
            f"bag: {path} has no {FILE_NAME}, as after a killed recorder: "
            "make one with ros2 bag reindex"
        )
    return read_metadata(path).topics


def _topics_of_file(path: Path) -> tuple[str, ...]:
    """Return the names in a single file, which has no metadata.yaml beside it."""
    try:
        from so101.data.bags.bag import open_bag
    except ImportError as error:
        raise ConfigError(
            f"bag: {path}: what reads a single file is missing in this Python ({error}); "
            "name the directory of the bag"
        ) from error

    return tuple(open_bag(path).types)


def robot_prefix(topics: tuple[str, ...]) -> str:
    """Return what stands in front of the relative names of the one robot in a bag."""
    found = robot_prefixes(topics)
    return found[0] if len(found) == 1 else "/"


def played_name(topic: str, prefix: str, namespace: str) -> str:
    """Return the absolute name under which a topic is played."""
    relative = topic.removeprefix(prefix) if topic.startswith(prefix) else topic[1:]
    return f"/{namespace}/{relative}"


def skipped_topics(topics: tuple[str, ...], prefix: str, *, with_markers: bool) -> tuple[str, ...]:
    """Return what is not played: what the replay says itself, and what is every node's own.

    Args:
        topics: Of the bag.
        prefix: In front of the robot's names.
        with_markers: Nobody draws the session anew.
    """
    said = {prefix + name.removeprefix("/") for name in _SAID_HERE} | {"/tf"}
    markers = set() if with_markers else {prefix + MARKERS.name}
    return tuple(topic for topic in topics if topic in said | markers | {*_OF_EVERY_NODE})
