"""Names in RViz's files: classes, properties, topics, frames, groups."""

from collections.abc import Iterator, Mapping
from typing import Any

from names.shipped import frames, groups, wrong_topic
from ros2_programs import MOVEIT_TOPICS, QOS, RVIZ_DISPLAYS, RVIZ_PANELS, RVIZ_TOOLS, RVIZ_VIEWS


def wrong_rviz(values: Mapping[str, Any]) -> list[str]:
    """Say which classes, properties, topics and frames of an RViz file do not exist."""
    scene = values["Visualization Manager"]
    found = [each["Class"] for each in values["Panels"] if each["Class"] not in RVIZ_PANELS]
    found += [each["Class"] for each in scene.get("Tools", ()) if each["Class"] not in RVIZ_TOOLS]
    current = scene["Views"]["Current"]["Class"]
    found += [] if current in RVIZ_VIEWS else [current]
    fixed = scene["Global Options"]["Fixed Frame"]
    found += [] if fixed in frames() else [f"frame {fixed}"]
    for display in scene["Displays"]:
        found += [f"{display.get('Name')}: {what}" for what in _wrong_display(display)]
    return found


def _wrong_display(display: Mapping[str, Any]) -> Iterator[str]:
    known = RVIZ_DISPLAYS.get(display["Class"])
    if known is None:
        yield f"class {display['Class']}"
        return
    yield from (f"property {name}" for name in display if name not in known)
    for inner in display.get("Displays", ()):
        yield from _wrong_display(inner)
    for name in ("Topic", "Description Topic"):
        if name in display:
            yield from _wrong_subscription(display[name])
    frame = display.get("Reference Frame", "<Fixed Frame>")
    if frame != "<Fixed Frame>" and frame not in frames():
        yield f"frame {frame}"
    yield from _wrong_planning(display)


def _wrong_subscription(topic: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"topic {name}" for name in wrong_topic(topic["Value"]))
    for name, value in topic.items():
        allowed = QOS.get(name, str if name == "Value" else None)
        is_right = value in allowed if isinstance(allowed, tuple) else type(value) is allowed
        if not is_right:
            yield f"{name}: {value!r}"


def _wrong_planning(display: Mapping[str, Any]) -> Iterator[str]:
    group = display.get("Planning Request", {}).get("Planning Group")
    if group is not None and group not in groups():
        yield f"group {group}"
    for name in (
        display.get("Planning Scene Topic"),
        display.get("Planned Path", {}).get("Trajectory Topic"),
    ):
        if name is not None and name.rsplit("/", 1)[-1] not in MOVEIT_TOPICS:
            yield f"topic {name}"
