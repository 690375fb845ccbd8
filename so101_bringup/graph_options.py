"""What a person can choose about a graph, as data. Launch arguments and flags are made of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from so101.config import option
from so101.groups.gate import GateBy
from so101.robot import CAMERAS
from so101_bringup.paths import RunPaths


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """What a person can choose: launch arguments and flags of the ``so101`` command."""

    robot: str = option("", "sim or real; never guessed", choices=("", "sim", "real"))
    usb_port: str = option(
        "", "serial adapter of the arm, best by its name in /dev/serial/by-id (real robot)"
    )
    calibration: str = option("", "the arm's calibration file, LeRobot's format (real robot)")
    robot_id: str = option(
        "", "LeRobot's id of the arm, whose calibration it is when no file is named (real robot)"
    )
    write_eeprom: bool = option(
        False, "put right what the servos remember; once, with the arm loose (real robot)"
    )
    namespace: str = option("", "in front of every name, for a second robot")
    task: str = option("pick", "what the robot does in every episode")
    instruction: str = option(
        "", "what the robot is asked to do, in words; empty for the task's own"
    )
    start: str = option(
        "std", "where an episode's objects may lie, such as std or wide (simulation)"
    )
    teleop: str = option(
        "scripted",
        "who teleoperates: the scripted human of the simulation, or a person by gamepad (read "
        "here), joy (ROS's joy_node), keyboard (joy_keyboard in its own terminal) or leader arm; "
        "simulated time does not wait for a person",
        choices=("scripted", "gamepad", "joy", "keyboard", "leader"),
    )
    leader_port: str = option(
        "", "serial adapter of the leader arm, best by its name in /dev/serial/by-id"
    )
    leader_calibration: str = option("", "the leader's calibration file, LeRobot's format")
    state: bool = option(False, "state mode: object poses instead of cameras (simulation only)")
    cameras: tuple[str, ...] = option(CAMERAS, "ids of the cameras")
    camera_height: int = option(240, "height of the images [px]", range=(32, 2160))
    camera_width: int = option(320, "width of the images [px]", range=(32, 3840))
    images: str = option(
        "compressed",
        "frames that are recorded: JPEG, raw, or both",
        choices=("compressed", "raw", "both"),
    )
    continuous: bool = option(
        False, "record one split bag of everything instead of a bag per episode"
    )
    speed: float = option(
        0.0,
        "simulated seconds per second; 0 is lock-step as fast as it goes, 1 is real time",
        range=(0.0, 2.0),
    )
    simulated_latency: float = option(
        0.0, "simulated time between an observation and its chunk [s]", range=(0.0, 0.25)
    )
    seed: int = option(0, "seed of start poses, noise and training", range=(0, 1_000_000))
    store: str = option(
        "runs/default", "directory of the run, which has its episodes and checkpoints"
    )
    episodes: str = option(
        "", "directory of bags to start from; they are linked into the store and never changed"
    )
    checkpoint: str = option("", "checkpoint directory to start from")
    sha256: str = option(
        "", "of the weights that an evaluation is of; empty takes those that are loaded"
    )
    server: str = option(
        "", "address of the server that infers instead of a checkpoint here, ws://host:port"
    )
    server_token_file: str = option(
        "", "file with the server's token, readable by its owner only; else SO101_TOKEN"
    )
    server_ca: str = option("", "file with the certificates that are trusted for wss")
    schedule: str = option(
        "async",
        "when the policy looks: sync (its chunk is over), async or rtc (its chunk runs), ensemble",
        choices=("sync", "async", "rtc", "ensemble"),
    )
    decision_ticks: int = option(
        0,
        "policy ticks (30 Hz) from one chunk to the next; 0 as checkpoint and schedule have it",
        range=(0, 300),
    )
    algorithm: str = option("sft", "learning algorithm")
    aux: tuple[str, ...] = option(
        (), "arrays of the policy to record with every chunk, such as noise"
    )
    operator: str = option("", "who watches, to be recorded with every episode")
    demonstrations: int = option(
        0, "demonstrations to collect; 0 as found good for the mode", range=(0, 10_000)
    )
    evaluation_episodes: int = option(
        0, "episodes of an evaluation; 0 as found good for the mode", range=(0, 10_000)
    )
    target_success: float = option(
        0.0,
        "success below which more demonstrations are collected; 0 as found good for the mode",
        range=(0.0, 1.0),
    )
    groups: int = option(
        -1,
        "groups of rollouts after a good evaluation; -1 as found good for the mode",
        range=(-1, 99),
    )
    rollouts: int = option(0, "rollouts of a group; 0 as found good for the mode", range=(0, 1000))
    rule: str = option(
        "gated",
        "how rollouts get their advantage; manual waits until people have rated every one",
        choices=("median", "gated", "manual", "zscore"),
    )
    gate: str = option(
        "poses",
        "who judges a group's candidate: poses in simulation before it acts, the rollouts of the "
        "next_group in which it acts, or nothing",
        choices=get_args(GateBy),
    )
    use_sim_time: bool = option(
        False,
        "the time is that of /clock: for other packages' nodes beside a simulation; ours need no "
        "telling",
    )
    use_ros2_control: bool = option(False, "ros2_control's controllers drive the arm")
    hardware_type: str = option(
        "",
        "what is below ros2_control: topic (our driver and its safety gate; with use_ros2_control "
        "the default), feetech (a driver in C++, without the gate), mock, mujoco or gazebo",
        choices=("", "topic", "feetech", "mock", "mujoco", "gazebo"),
    )
    use_mock_hardware: bool = option(False, "the same as hardware_type:=mock")
    use_fake_hardware: bool = option(False, "the older name of use_mock_hardware")
    controllers_file: str = option("", "your own controllers.yaml, in place of the shipped one")
    controllers: tuple[str, ...] = option(
        ("joint_state_broadcaster", "joint_trajectory_controller"),
        "controllers of controllers_file to start",
    )
    prefix: str = option(
        "", "in front of every link and joint of the URDF, for a scene of your own; ours have none"
    )
    frame_prefix: str = option(
        "",
        "in front of every TF frame, such as left/: several arms in one tree; without it a "
        "namespace has a tree of its own",
    )
    base: str = option(
        "0 0 0 0 0 0",
        "where the arm's world is in the common one, with a frame_prefix: x y z [m] and yaw pitch "
        "roll [rad]",
    )
    gui: bool = option(False, "sliders in place of the robot's joint states")
    launch_rviz: bool = option(False, "show the robot in RViz (ROS installation only)")
    launch_description: bool = option(
        True,
        "start robot_state_publisher here; false beside whatever has one already, such as a "
        "session with launch_rviz",
    )
    launch_diagnostics: bool = option(
        False, "sum up diagnostics in groups, for rqt_robot_monitor (ROS installation only)"
    )
    rviz_config_file: str = option("", "your own RViz file, in place of the shipped one")
    launch_joy: bool = option(False, "start ROS's joy_node for teleop:=joy (ROS installation)")
    bag: str = option("", "directory of the episode or bag to replay")
    rate: float = option(1.0, "how fast it is replayed", range=(0.01, 100.0))
    loop: bool = option(False, "from the beginning again at its end")
    start_paused: bool = option(False, "wait for the player's service ~/resume")
    elsewhere: tuple[str, ...] = option(
        (), "nodes of this graph that another launch starts, such as policy_node beside a GPU"
    )
    learning_python: str = option(
        "",
        "interpreter of policy_node and learner_node, of an environment with torch; empty for the "
        "one that everything was installed for",
    )
    discovery: str = option(
        "localhost",
        "from where others may join: this machine, or the network",
        choices=("localhost", "subnet"),
    )
    params_file: str = option("", "your own parameter file; it wins over everything else")

    @property
    def waits(self) -> bool:
        """Whether simulated time waits for everybody's answers; it waits for no person."""
        return self.robot == "sim" and self.teleop == "scripted"

    @property
    def below_control(self) -> str:
        """What is below ros2_control's controllers; empty where these do not drive the arm."""
        if self.use_mock_hardware or self.use_fake_hardware:
            return "mock"
        return self.hardware_type or ("topic" if self.use_ros2_control else "")

    @property
    def simulates_below_control(self) -> bool:
        """Whether what is below the controllers has a time of its own, which it says on /clock."""
        return self.below_control in ("mujoco", "gazebo")

    @property
    def paths(self) -> RunPaths:
        """The directory of the run."""
        return RunPaths(root=Path(self.store).expanduser().absolute())
