"""What a policy expects and offers: the part of a checkpoint that must fit the robot."""

from dataclasses import dataclass, field

from so101.action import ActionSpace
from so101.errors import CheckpointError
from so101.robot import JOINTS


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """Inputs and outputs of a policy. Part of policy.json.

    Attributes:
        joints: Joint names in the order of every joint array.
        cameras: Camera ids the policy looks at; empty in state mode.
        image_size: Height and width that images are resized to [px]; (0, 0) without cameras.
        uses_objects: The policy reads privileged object poses (state mode, simulation only).
        action_space: How its outputs relate to joint positions.
        camera_names: Camera id of the robot to the name the policy's network uses.
        task: Language instruction it was trained on; empty when it reads the instruction.
    """

    joints: tuple[str, ...] = JOINTS
    cameras: tuple[str, ...] = ()
    image_size: tuple[int, int] = (0, 0)
    uses_objects: bool = False
    action_space: ActionSpace = field(default_factory=ActionSpace)
    camera_names: dict[str, str] = field(default_factory=dict)
    task: str = ""

    def check_fits(self, joints: tuple[str, ...], cameras: tuple[str, ...], where: str) -> None:
        """Refuse a policy that was trained for other joints or cameras.

        Raises:
            CheckpointError: The joints differ in name or order, or a camera is absent.
        """
        if self.joints != joints:
            raise CheckpointError(
                f"{where}: trained for joints {', '.join(self.joints)}; "
                f"this robot has {', '.join(joints)}"
            )
        absent = [camera for camera in self.cameras if camera not in cameras]
        if absent:
            raise CheckpointError(
                f"{where}: needs cameras {', '.join(absent)}; this robot has {', '.join(cameras)}"
            )
