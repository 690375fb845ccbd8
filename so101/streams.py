"""Asynchronous messages to one observation per policy tick, live and from bags alike.

Owns the join rule: per stream the newest sample with a header stamp at or before the tick that had
arrived by then, within the stream's age limit. Arrival time never enters a joined value. Knows
neither ROS nor bags: values come in decoded, in the order in which they arrived.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from so101.arrays import FloatArray
from so101.camera_images import CameraImage, CameraImages
from so101.clock import CONTROL_GRID, nanoseconds
from so101.config import option
from so101.errors import ConfigError
from so101.observation import Observation
from so101.robot import JOINTS
from so101.spec import PolicySpec
from so101.stream_buffer import StreamBuffer, newest_together
from so101.topics import JOINT_COMMANDS, JOINT_STATES, OBJECTS, TASK, image_topic

TakeImage = Callable[[str, bytes, tuple[int, int]], CameraImage]
"""Camera id, JPEG, height and width [px] to an image."""


@dataclass(frozen=True, kw_only=True)
class JointSample:
    """One joint_states message in the builder's joint order.

    Attributes:
        positions: [rad]. Shape (joints,).
        velocities: [rad/s]. Shape (joints,).
        effort: [N·m]. Shape (joints,).
    """

    positions: FloatArray
    velocities: FloatArray
    effort: FloatArray


@dataclass(frozen=True, kw_only=True)
class ObservationConfig:
    """What an observation is made of, and how old its parts may be."""

    joints: tuple[str, ...] = option(JOINTS, "joint names in the order of every joint array")
    cameras: tuple[str, ...] = option((), "camera ids an observation needs")
    image_size: tuple[int, int] = option((0, 0), "height and width [px]; (0, 0) as recorded")
    uses_objects: bool = option(False, "observations carry object poses (simulation only)")
    task: str = option("", "language instruction until the task topic says another")
    is_lock_step: bool = option(True, "wait for samples stamped with the tick itself")
    max_joint_age_s: float = option(0.05, "age limit of joint states [s]", range=(0.0, 10.0))
    max_image_age_s: float = option(0.1, "age limit of images [s]", range=(0.0, 10.0))
    max_object_age_s: float = option(0.1, "age limit of object poses [s]", range=(0.0, 10.0))
    max_image_skew_s: float = option(
        0.05, "an image this much older than another camera's is missing [s]", range=(0.0, 10.0)
    )

    @classmethod
    def for_policy(cls, spec: PolicySpec, *, is_lock_step: bool) -> "ObservationConfig":
        """Return what a policy needs to see."""
        return cls(
            joints=spec.joints,
            cameras=spec.cameras,
            image_size=spec.image_size,
            uses_objects=spec.uses_objects,
            task=spec.task,
            is_lock_step=is_lock_step,
        )


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """No observation yet: the stream that is missing, and why, for a person.

    Attributes:
        stream: Topic name.
        reason: For a person.
        blind: All that the tick waits for, where it lacks an image that it will not get.
    """

    stream: str
    reason: str
    blind: "JoinedTick | None" = None


@dataclass(frozen=True, kw_only=True)
class JoinedTick:
    """The samples that belong to one tick, images still compressed.

    Attributes:
        stamp_ns: The tick [ns].
        joints: Joint state used.
        command: Goal in force just before the tick [rad]. Shape (joints,).
        images: Camera id to JPEG; cameras in ``missing`` are absent.
        missing: Ids of cameras without an image within the age limit, or within the skew limit.
        skewed: Those of them that have one, too much older than another camera's.
        objects: Object poses, shape (objects, 7), or None.
        task: The language instruction.
        stamps_ns: Topic to header stamp of the sample used [ns].
    """

    stamp_ns: int
    joints: JointSample
    command: FloatArray
    images: Mapping[str, bytes] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    skewed: frozenset[str] = frozenset()
    objects: FloatArray | None = None
    task: str = ""
    stamps_ns: Mapping[str, int] = field(default_factory=dict)

    def ages_ms(self) -> dict[str, float]:
        """Return the age of every sample used, by topic [ms]; what policy/info records."""
        return {name: (self.stamp_ns - stamp) * 1e-6 for name, stamp in self.stamps_ns.items()}


class ObservationBuilder:
    """Joins the streams of a policy: `feed` each message as it arrives, `build` at a tick.

    After a reset of the world call `reset`: samples from before it would show another world.
    """

    def __init__(self, config: ObservationConfig, take_image: TakeImage = CameraImage) -> None:
        """Create a builder that has seen nothing.

        Args:
            config: What an observation is made of.
            take_image: Finds images that are being decoded already, such as
                `so101.decoding.EarlyDecoder.take`.
        """
        self.config = config
        self._take_image = take_image
        self._start_ns: int | None = None
        self._task = config.task
        joint_age, image_age, object_age = (
            nanoseconds(age)
            for age in (config.max_joint_age_s, config.max_image_age_s, config.max_object_age_s)
        )
        self._joints: StreamBuffer[JointSample] = StreamBuffer(max_age_ns=joint_age)
        # A goal stays in force until the next one: no age limit.
        self._commands: StreamBuffer[FloatArray] = StreamBuffer()
        self._objects: StreamBuffer[FloatArray] = StreamBuffer(max_age_ns=object_age)
        self._images: dict[str, StreamBuffer[bytes]] = {
            camera: StreamBuffer(max_age_ns=image_age) for camera in config.cameras
        }
        self._max_skew_ns = nanoseconds(config.max_image_skew_s)
        self._pace = ((JOINT_STATES.name, self._joints),)
        self._buffers: dict[str, StreamBuffer[Any]] = {
            JOINT_STATES.name: self._joints,
            JOINT_COMMANDS.name: self._commands,
            **{image_topic(camera).name: buffer for camera, buffer in self._images.items()},
        }
        if config.uses_objects:
            self._buffers[OBJECTS.name] = self._objects

    @property
    def topics(self) -> tuple[str, ...]:
        """Relative names of the topics to feed."""
        return (*self._buffers, TASK.name)

    def reset(self, stamp_ns: int) -> None:
        """Forget everything stamped before a reset of the world, also what arrives later."""
        self._start_ns = stamp_ns
        for buffer in self._buffers.values():
            buffer.drop_before(stamp_ns)

    def feed(self, topic: str, value: Any, stamp_ns: int, arrival_ns: int) -> None:
        """Take one message.

        Args:
            topic: Relative topic name, one of ``topics``.
            value: `JointSample` for joint_states, positions [rad] for joint_commands, JPEG bytes
                for images, poses of shape (objects, 7) for objects, text for task.
            stamp_ns: Header stamp [ns]; ignored for task.
            arrival_ns: When it arrived, by whatever clock the caller orders arrivals [ns].

        Raises:
            ConfigError: The topic is not part of this observation.
        """
        if topic == TASK.name:
            self._task = str(value)
        elif topic not in self._buffers:
            raise ConfigError(f"{topic}: not a stream of this observation: {self.topics}")
        elif self._start_ns is None or stamp_ns >= self._start_ns:
            self._buffers[topic].add(stamp_ns, value, arrival_ns)

    def pending(self, tick_ns: int) -> Waiting | None:
        """Return the stream that must still deliver before a tick can be joined, or None.

        Free-running, a tick is due when joint_states has reached it. In lock-step nothing moves
        on until the observation is used, so every stream is waited for: its sample of the tick
        itself, and the command of the control tick before.
        """
        for name, buffer in self._buffers.items() if self.config.is_lock_step else self._pace:
            stamp_ns = tick_ns
            if name == JOINT_COMMANDS.name:
                stamp_ns = CONTROL_GRID.stamp(CONTROL_GRID.ceil(tick_ns) - 1)
                if self._start_ns is None or stamp_ns < self._start_ns:
                    continue  # nobody need have commanded before the episode
            newest = buffer.newest_stamp_ns
            if newest is None:
                return Waiting(stream=name, reason=f"{name}: nothing has arrived yet")
            if newest < stamp_ns:
                late_ms = (stamp_ns - newest) * 1e-6
                return Waiting(stream=name, reason=f"{name}: newest is {late_ms:.1f} ms too old")
        return None

    def join(self, tick_ns: int) -> JoinedTick | Waiting:
        """Join what has arrived for a tick, without waiting for anything more."""
        joints = self._joints.newest(tick_ns)
        if joints is None:
            return _stale(JOINT_STATES.name, self.config.max_joint_age_s)
        stamps = {JOINT_STATES.name: joints[0]}
        objects = None
        if self.config.uses_objects:
            objects = self._objects.newest(tick_ns)
            if objects is None:
                return _stale(OBJECTS.name, self.config.max_object_age_s)
            stamps[OBJECTS.name] = objects[0]
        images, skewed = newest_together(self._images, tick_ns, self._max_skew_ns)
        stamps.update({image_topic(camera).name: image[0] for camera, image in images.items()})
        command = self._commands.newest(tick_ns, is_inclusive=False)
        if command is not None:
            stamps[JOINT_COMMANDS.name] = command[0]
        return JoinedTick(
            stamp_ns=tick_ns,
            joints=joints[1],
            # Before the first goal the arm holds where it is.
            command=joints[1].positions if command is None else command[1],
            images={camera: image[1] for camera, image in images.items()},
            missing=frozenset(self._images) - frozenset(images),
            skewed=skewed,
            objects=None if objects is None else objects[1],
            task=self._task,
            stamps_ns=stamps,
        )

    def build(
        self, tick_ns: int, on_join: Callable[[JoinedTick], None] | None = None
    ) -> Observation | Waiting:
        """Return the observation of a tick, or what it still waits for.

        It has an image of every camera: nobody was taught to act on less. What bags hold of a tick
        without one is `join`'s to tell.

        Args:
            tick_ns: The policy tick [ns].
            on_join: Called with the joined samples, for the stamps and ages that were used.

        """
        joined = self.pending(tick_ns) or self.join(tick_ns)
        if isinstance(joined, Waiting):
            return joined
        if joined.missing:
            return self._blind(joined)
        if on_join is not None:
            on_join(joined)
        return to_observation(joined, self.config.image_size, self._take_image)

    def _blind(self, joined: JoinedTick) -> Waiting:
        camera = min(joined.missing)
        name, limit_s = image_topic(camera).name, self.config.max_image_age_s
        reason = f"{name}: no image within {limit_s:g} s of the tick"
        if camera in joined.skewed:
            limit_s = self.config.max_image_skew_s
            reason = f"{name}: more than {limit_s:g} s older than another camera's image"
        return Waiting(stream=name, reason=reason, blind=joined)


def to_observation(
    joined: JoinedTick, image_size: tuple[int, int], take_image: TakeImage = CameraImage
) -> Observation:
    """Return a joined tick as an observation. Its images are decoded when somebody looks at them.

    Args:
        joined: The tick's samples.
        image_size: Height and width [px]; (0, 0) as recorded.
        take_image: Finds images that are being decoded already.
    """
    images = {
        camera: take_image(camera, jpeg, image_size) for camera, jpeg in joined.images.items()
    }
    return Observation(
        stamp_ns=joined.stamp_ns,
        positions=joined.joints.positions,
        velocities=joined.joints.velocities,
        effort=joined.joints.effort,
        command=joined.command,
        images=CameraImages(images),
        jpegs=joined.images,
        missing=joined.missing,
        task=joined.task,
        objects=joined.objects,
    )


def _stale(name: str, max_age_s: float) -> Waiting:
    return Waiting(stream=name, reason=f"{name}: no sample within {max_age_s:g} s of the tick")
