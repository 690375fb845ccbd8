"""Names in the robot's description: files, topics, joints, links, groups."""

from pathlib import Path
from xml.etree import ElementTree

from names.shipped import Shipped, missing, wrong_topic


def wrong_urdf(text: str, shipped: Shipped) -> list[str]:
    """Say which files, topics, joints and links of a URDF or SRDF do not exist."""
    root = ElementTree.fromstring(text)
    found = []
    for mesh in root.iter("mesh"):
        path = _resolved(str(mesh.get("filename")), shipped)
        found += [f"file {each}" for each in missing([str(path)], shipped)]
    for param in root.iter("param"):
        value = (param.text or "").strip()
        if str(param.get("name")).endswith("_topic"):
            found += [f"topic {name}" for name in wrong_topic(value)]
        elif str(param.get("name")) in ("mujoco_model", "pids_config_file"):
            found += [f"file {each}" for each in missing([value], shipped)]
    known = {str(joint.get("name")) for joint in root.findall("joint")}
    for control in root.findall("ros2_control"):
        named = {str(joint.get("name")) for joint in control.findall("joint")}
        found += [f"joint {name}" for name in named - known]
    return found


def _resolved(uri: str, shipped: Shipped) -> Path:
    if uri.startswith("package://"):
        package, _, rest = uri.removeprefix("package://").partition("/")
        places = {"so101_bringup": shipped.root, "so101_description": shipped.root / package}
        return places.get(package, Path("/nowhere")) / rest
    return Path(uri.removeprefix("file://"))


def wrong_semantics(text: str, urdf: str) -> list[str]:
    """Say which links, joints and groups of an SRDF do not exist."""
    root, robot = ElementTree.fromstring(text), ElementTree.fromstring(urdf)
    links = {link.get("name") for link in robot.findall("link")}
    moving = {joint.get("name") for joint in robot.findall("joint")}
    known = {group.get("name") for group in root.findall("group")}
    found = [f"joint {e.get('name')}" for e in root.iter("joint") if e.get("name") not in moving]
    for element in root.iter():
        for key, value in element.attrib.items():
            if key in ("base_link", "tip_link", "parent_link", "child_link", "link1", "link2"):
                found += [] if value in links else [f"link {value}"]
            elif key in ("group", "parent_group"):
                found += [] if value in known else [f"group {value}"]
    return found
