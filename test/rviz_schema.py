"""What RViz and MoveIt's plugin for it read from an ``.rviz`` file: class ids, properties, values.

From rviz_common and rviz_default_plugins of Jazzy (14.1.5) and of the main branch of October 2024
(14.3.1, half a year before Kilted), and moveit_ros_visualization of Jazzy and Kilted. RViz passes
over a property that it does not know, in silence, and shows an unknown class as failed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

NUMBER = (int, float)
POINT = {"X": NUMBER, "Y": NUMBER, "Z": NUMBER}
COLOUR = "48; 48; 48"
"""Three numbers from 0 to 255, with semicolons between them."""

RELIABILITY = ("System Default", "Reliable", "Best Effort")
DURABILITY = ("System Default", "Transient Local", "Volatile")
HISTORY = ("Keep Last", "Keep All", "System Default")
TOPIC = {
    "Value": str,
    "Depth": int,
    "History Policy": HISTORY,
    "Reliability Policy": RELIABILITY,
    "Durability Policy": DURABILITY,
}

DISPLAY = {"Class": str, "Name": str, "Enabled": bool, "Value": bool}
ROBOT_MODEL = {
    "Visual Enabled": bool,
    "Collision Enabled": bool,
    "Mass Properties": {"Mass": bool, "Inertia": bool},
    "Update Interval": NUMBER,
    "Alpha": NUMBER,
    "Description Source": ("Topic", "File"),
    "Description File": str,
    "Description Topic": TOPIC,
    "TF Prefix": str,
}
TRANSFORMS = {
    "Show Names": bool,
    "Show Axes": bool,
    "Show Arrows": bool,
    "Marker Scale": NUMBER,
    "Update Interval": NUMBER,
    "Frame Timeout": NUMBER,
    "Filter (whitelist)": str,
    "Filter (blacklist)": str,
}
GRID = {
    "Reference Frame": str,
    "Plane Cell Count": int,
    "Normal Cell Count": int,
    "Cell Size": NUMBER,
    "Line Style": {"Value": ("Lines", "Billboards"), "Line Width": NUMBER},
    "Color": COLOUR,
    "Alpha": NUMBER,
    "Plane": ("XY", "XZ", "YZ"),
    "Offset": POINT,
}
IMAGE = {
    "Topic": TOPIC,
    "Normalize Range": bool,
    "Min Value": NUMBER,
    "Max Value": NUMBER,
    "Median window": int,
}
MOTION_PLANNING = {
    "Move Group Namespace": str,
    "Robot Description": str,
    "Planning Scene Topic": str,
    "Scene Geometry": {
        "Show Scene Geometry": bool,
        "Scene Alpha": NUMBER,
        "Scene Color": COLOUR,
        "Scene Display Time": NUMBER,
    },
    "Scene Robot": {
        "Show Robot Visual": bool,
        "Show Robot Collision": bool,
        "Robot Alpha": NUMBER,
        "Attached Body Color": COLOUR,
    },
    "Planning Request": {
        "Planning Group": str,
        "Show Workspace": bool,
        "Query Start State": bool,
        "Query Goal State": bool,
        "Interactive Marker Size": NUMBER,
        "Start State Color": COLOUR,
        "Start State Alpha": NUMBER,
        "Goal State Color": COLOUR,
        "Goal State Alpha": NUMBER,
        "Colliding Link Color": COLOUR,
        "Joint Violation Color": COLOUR,
    },
    "Planned Path": {
        "Trajectory Topic": str,
        "Show Robot Visual": bool,
        "Show Robot Collision": bool,
        "Robot Alpha": NUMBER,
        "State Display Time": str,
        "Use Sim Time": bool,
        "Loop Animation": bool,
        "Show Trail": bool,
        "Trail Step Size": int,
        "Interrupt Display": bool,
        "Robot Color": COLOUR,
        "Color Enabled": bool,
    },
    "MoveIt_Planning_Time": NUMBER,
    "MoveIt_Planning_Attempts": int,
    "Velocity_Scaling_Factor": NUMBER,
    "Acceleration_Scaling_Factor": NUMBER,
    "MoveIt_Allow_Replanning": bool,
    "MoveIt_Use_Cartesian_Path": bool,
    "MoveIt_Use_Constraint_Aware_IK": bool,
    "MoveIt_Allow_Approximate_IK": bool,
}
DISPLAYS = {
    "rviz_default_plugins/Grid": DISPLAY | GRID,
    "rviz_default_plugins/RobotModel": DISPLAY | ROBOT_MODEL,
    "rviz_default_plugins/TF": DISPLAY | TRANSFORMS,
    "rviz_default_plugins/MarkerArray": DISPLAY | {"Topic": TOPIC},
    "rviz_default_plugins/Image": DISPLAY | IMAGE,
    "moveit_rviz_plugin/MotionPlanning": DISPLAY | MOTION_PLANNING,
}
PANEL = {"Class": str, "Name": str}
PANELS = {
    "rviz_common/Displays": PANEL,
    "rviz_common/Views": PANEL,
    "rviz_common/Selection": PANEL,
    "rviz_common/Tool Properties": PANEL,
    "rviz_common/Time": {
        **PANEL,
        "SyncMode": int,
        "SyncSource": str,
        "Experimental": bool,
    },
}
TOOL = {"Class": str}
TOOLS = {
    "rviz_default_plugins/MoveCamera": TOOL,
    "rviz_default_plugins/Select": TOOL,
    "rviz_default_plugins/Interact": TOOL,
    "rviz_default_plugins/FocusCamera": TOOL,
    "rviz_default_plugins/Measure": {**TOOL, "Line color": COLOUR},
}
VIEWS = {
    "rviz_default_plugins/Orbit": {
        "Class": str,
        "Name": str,
        "Target Frame": str,
        "Near Clip Distance": NUMBER,
        "Distance": NUMBER,
        "Yaw": NUMBER,
        "Pitch": NUMBER,
        "Focal Point": POINT,
        "Focal Shape Size": NUMBER,
        "Focal Shape Fixed Size": bool,
    },
}
FILE = {
    "Panels": [PANELS],
    "Visualization Manager": {
        "Global Options": {
            "Background Color": COLOUR,
            "Fixed Frame": str,
            "Frame Rate": int,
        },
        "Displays": [DISPLAYS],
        "Tools": [TOOLS],
        "Views": {"Current": VIEWS, "Saved": [VIEWS]},
    },
    "Window Geometry": {
        "Width": int,
        "Height": int,
        "X": int,
        "Y": int,
        "Hide Left Dock": bool,
        "Hide Right Dock": bool,
    },
}


def misread(found: Any, known: Any, where: str = "") -> Iterator[str]:
    """Yield what RViz would pass over or fail at.

    Args:
        found: From an ``.rviz`` file.
        known: What may stand there: a type, types, texts to choose from, `COLOUR`, a mapping of
            properties, a mapping by class id (its values name ``Class``), or a list of either.
        where: Path in the file.
    """
    if isinstance(known, list):
        for number, each in enumerate(found):
            yield from misread(each, known[0], f"{where}[{number}]")
    elif isinstance(known, Mapping) and all("/" in key for key in known):
        name = found.get("Class")
        yield from misread(found, known[name], name) if name in known else [f"{where}: {name}"]
    elif isinstance(known, Mapping):
        if not isinstance(found, Mapping):
            yield f"{where}: {found!r} is one value"
            return
        for key, value in found.items():
            yield from (
                misread(value, known[key], f"{where}/{key}")
                if key in known
                else [f"{where}/{key}: unknown"]
            )
    elif not fits(found, known):
        yield f"{where}: {found!r}"


def fits(found: Any, known: Any) -> bool:
    """Tell whether a value is of a kind, one of some texts, or a colour."""
    if known == COLOUR:
        parts = str(found).split("; ")
        return len(parts) == 3 and all(part.isdigit() and int(part) < 256 for part in parts)
    if isinstance(known, tuple) and isinstance(known[0], str):
        return found in known
    if isinstance(found, bool):
        return known is bool
    return isinstance(found, known)
