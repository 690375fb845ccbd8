"""Which topics of a bag are a robot's: their namespace, their types, their cameras.

Owns which topics a reader needs. Decodes nothing.
"""

from collections.abc import Mapping

from so101.data.bags.bag import Bag
from so101.errors import BagError
from so101.topics import (
    COMPRESSED_IMAGE,
    CONTROL_SOURCE,
    EPISODE,
    IMAGE,
    JOINT_COMMANDS,
    JOINT_STATES,
    LABEL,
    OBJECTS,
    POLICY_TRAJECTORY,
    REWARD,
    TELEOP_TRAJECTORY,
    Topic,
    aux_topic,
    image_topic,
    robot_prefixes,
)

AUX = aux_topic("").name
_IMAGE_ENDING = "_camera/image_raw/compressed"
_RAW_ENDING = "_camera/image_raw"
_TOPICS = (
    JOINT_STATES,
    JOINT_COMMANDS,
    OBJECTS,
    EPISODE,
    CONTROL_SOURCE,
    REWARD,
    LABEL,
    POLICY_TRAJECTORY,
    TELEOP_TRAJECTORY,
)


def find_namespace(bag: Bag, namespace: str | None) -> str:
    """Return what stands in front of the relative names in a bag, such as ``/`` or ``/left/``.

    Args:
        bag: The bag.
        namespace: The robot's namespace when it is known.

    Raises:
        BagError: No robot is in the bag, or several and none was named.
    """
    if namespace is not None:
        return f"/{namespace.strip('/')}/".replace("//", "/")
    found = robot_prefixes(bag.types)
    if not found:
        held = ", ".join(bag.types) or "none"
        raise BagError(f"{bag.path}: no topic {JOINT_STATES.name}; it holds {held}")
    if len(found) > 1:
        raise BagError(f"{bag.path}: several robots, name one: {', '.join(found)}")
    return found[0]


def find_images(bag: Bag, prefix: str) -> dict[str, Topic]:
    """Return the image stream of each camera in a bag; a compressed one goes before a raw one."""
    raw = {
        camera: Topic(name=f"{camera}{_RAW_ENDING}", type=IMAGE, doc="")
        for camera in _find_named(bag, prefix, _RAW_ENDING, IMAGE)
    }
    found = _find_named(bag, prefix, _IMAGE_ENDING, COMPRESSED_IMAGE)
    return raw | {camera: image_topic(camera) for camera in found}


def find_wanted(bag: Bag, prefix: str, images: Mapping[str, Topic]) -> dict[str, Topic]:
    """Return the topics to decode by their name in the bag.

    Raises:
        BagError: A needed one is missing, or one has another type.
    """
    arrays = [aux_topic(name) for name in _find_named(bag, prefix + AUX, "", IMAGE)]
    wanted = {prefix + topic.name: topic for topic in (*_TOPICS, *images.values(), *arrays)}
    for topic, expected in wanted.items():
        found = bag.types.get(topic)
        if found is None and expected in (JOINT_STATES, JOINT_COMMANDS):
            held = ", ".join(sorted(bag.types)) or "none"
            raise BagError(f"{bag.path}: no topic {topic} ({expected.doc}); it holds {held}")
        if found is not None and found != expected.type:
            raise BagError(f"{bag.path}: {topic}: type {found}, expected {expected.type}")
    return {topic: known for topic, known in wanted.items() if topic in bag.types}


def _find_named(bag: Bag, beginning: str, ending: str, wanted: str) -> tuple[str, ...]:
    """Return the names between beginning and ending of the topics of a type, sorted."""
    names = [
        topic.removeprefix(beginning).removesuffix(ending)
        for topic, kind in bag.types.items()
        if topic.startswith(beginning) and topic.endswith(ending) and kind == wanted
    ]
    return tuple(sorted(name for name in names if name and "/" not in name))


def joined_name(topic: Topic) -> str:
    """Return the name under which a stream is joined: live, no image is uncompressed."""
    if topic.name.endswith(_RAW_ENDING):
        return image_topic(topic.name.removesuffix(_RAW_ENDING)).name
    return topic.name
