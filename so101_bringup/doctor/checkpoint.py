"""Check of a checkpoint: does it fit this robot in units, joints and cameras, and plan sanely?"""

from collections.abc import Mapping, Sequence
from typing import Any

from so101.robot import JOINTS
from so101.spec import PolicySpec
from so101_bringup.doctor.finding import Finding


def check_units(found: Any, wanted: Mapping[str, str]) -> Finding:
    """See that a checkpoint of our own means by its numbers what this software does.

    Args:
        found: What its policy.json says of units.
        wanted: What this software writes there.
    """
    if not isinstance(found, Mapping):
        return Finding("units", "policy.json does not say them", "publish it again from its run")
    wrong = [name for name, unit in wanted.items() if found.get(name) != unit]
    if wrong:
        words = "; ".join(
            f"{name} is {found.get(name)!r}, expected {wanted[name]!r}" for name in wrong
        )
        return Finding("units", words, "it was made by other software: fine-tune it here again")
    return Finding("units", f"positions in {found['positions']}")


def check_joints(spec: PolicySpec) -> Finding:
    """See that a policy plans for this arm's joints, in their order."""
    if spec.joints == JOINTS:
        return Finding("joints", ", ".join(JOINTS))
    text = f"it plans for {', '.join(spec.joints)}; this arm has {', '.join(JOINTS)}"
    return Finding("joints", text, "take a checkpoint of this arm, or fine-tune it on its bags")


def check_views(spec: PolicySpec, cameras: Sequence[str], *, is_real: bool) -> Finding:
    """See that the robot shows what a policy looks at.

    Args:
        spec: Of the policy.
        cameras: Camera ids of the robot.
        is_real: It is no simulation.
    """
    if spec.uses_objects:
        text = "it looks at the poses of objects, which only the simulation knows"
        advice = "fine-tune one that looks at cameras (so101 train without --state)"
        return Finding("inputs", text, advice if is_real else "")
    absent = [camera for camera in spec.cameras if camera not in cameras]
    if absent:
        text = f"it looks at {', '.join(absent)}; this robot has {', '.join(cameras) or 'none'}"
        advice = (
            "give the cameras these names (sections <name>_camera of your file); of a LeRobot "
            "checkpoint: map them by cameras in so101.yaml"
        )
        return Finding("inputs", text, advice)
    unused = [camera for camera in cameras if camera not in spec.cameras]
    more = f"; {', '.join(unused)} is not looked at" if unused and spec.cameras else ""
    size = f" at {spec.image_size[1]}x{spec.image_size[0]} px" if spec.cameras else ""
    return Finding("inputs", f"joints and {', '.join(spec.cameras) or 'no camera'}{size}{more}")
