"""What a LeRobot policy sees and does, read from its config.json. LeRobot is not needed for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so101.action import ActionSpace
from so101.clock import POLICY_HZ
from so101.data.exchange.lerobot_values import ACTION, IMAGE_PREFIX, STATE
from so101.errors import CheckpointError, ConfigError
from so101.policies.checkpoints.json_file import read_json
from so101.policies.lerobot.files import ADAPTER_CONFIG, CONFIG, TRAIN_CONFIG, LeRobotSource
from so101.policies.lerobot.options import LeRobotOptions
from so101.robot import JOINTS
from so101.spec import PolicySpec

KINDS = ("act", "diffusion", "smolvla", "pi0", "pi05", "pi0_fast")
RESIZING = frozenset({"smolvla", "pi0", "pi05", "pi0_fast"})
"""These scale images to their own size and pad them, whatever they are given."""
WITH_SLOTS = frozenset({"smolvla", "pi0", "pi05", "pi0_fast"})
"""These go on without the image of a slot, and are told that it is absent."""
EMPTY_CAMERA = "empty_camera"
_ASPECT = 3 / 4
"""Height to width of this robot's cameras."""


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What config.json says.

    Attributes:
        kind: LeRobot's policy type.
        images: Image feature to the height and width it was made for [px].
        horizon: Points of a chunk, from the observation on.
        execute_steps: How many LeRobot executes before it plans again.
        past: Observations it looks at before the present one.
        is_relative: Its actions are differences to the state.
        where: The file, for messages.
    """

    kind: str
    images: Mapping[str, tuple[int, int]]
    horizon: int
    execute_steps: int
    past: int
    is_relative: bool
    where: str


def read_outline(directory: Path) -> Outline:
    """Read config.json of a checkpoint.

    Raises:
        CheckpointError: It is missing or broken, or the policy is none for this arm.
    """
    where = directory / CONFIG
    if not where.exists():
        raise CheckpointError(f"{where}: missing" + _hint_of_adapter(directory))
    return outline(read_json(where.resolve()), str(where))


def outline(values: Mapping[str, Any], where: str) -> Outline:
    """Return what the content of a config.json says.

    Raises:
        CheckpointError: It is broken, or the policy is none for this arm.
    """
    kind = values.get("type")
    if kind == "groot":
        raise CheckpointError(
            f"{where}: LeRobot builds groot with Python code of the hub, which never runs here"
        )
    if kind not in KINDS:
        raise CheckpointError(f"{where}: policy {kind!r} is not one of {', '.join(KINDS)}")
    try:
        inputs, outputs = values["input_features"], values["output_features"]
        past = int(values["n_obs_steps"]) - 1
        states = {name: tuple(one["shape"]) for name, one in inputs.items()}
        images = {n: s[1:] for n, s in states.items() if inputs[n]["type"] == "VISUAL"}
        others = [n for n in inputs if n not in images and inputs[n]["type"] != "LANGUAGE"]
        actions = tuple(outputs[ACTION]["shape"])
        horizon = values["horizon"] - past if kind == "diffusion" else values["chunk_size"]
        steps, relative = int(values["n_action_steps"]), bool(values.get("use_relative_actions"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{where}: no config of a LeRobot policy: {error!r}") from error
    _check_joints(others, states.get(STATE), actions, where)
    if past and kind != "diffusion":
        raise CheckpointError(f"{where}: n_obs_steps={past + 1} of {kind} is not supported")
    return Outline(
        kind=kind,
        images=images,
        horizon=int(horizon),
        execute_steps=steps,
        past=past,
        is_relative=relative,
        where=where,
    )


def make_spec(outline: Outline, source: LeRobotSource) -> PolicySpec:
    """Return the spec of a foreign checkpoint on this robot.

    Raises:
        CheckpointError: What it does not say was not said in the options either, or contradicts.
    """
    options = source.options
    rate_hz = options.rate_hz or _recorded_rate(source)
    if POLICY_HZ % rate_hz:
        raise CheckpointError(
            f"{outline.where}: plans at {rate_hz} Hz, which does not divide {POLICY_HZ} Hz: "
            "its chunks are refused, not resampled"
        )
    steps = options.execute_steps or outline.execute_steps
    names = _camera_names(outline, source)
    try:
        space = ActionSpace(rate_hz=rate_hz, horizon=outline.horizon, execute_steps=steps)
    except ConfigError as error:
        raise CheckpointError(f"{outline.where}: {error}") from error
    return PolicySpec(
        cameras=tuple(names),
        image_size=_image_size(outline, names, options),
        action_space=space,
        camera_names=names,
        task=options.task,
    )


def empty_slots(outline: Outline, spec: PolicySpec) -> list[str]:
    """Return the image features that no camera of the robot fills."""
    return [name for name in outline.images if name not in spec.camera_names.values()]


def _check_joints(
    others: list[str], state: tuple[int, ...] | None, actions: tuple[int, ...], where: str
) -> None:
    joints = (len(JOINTS),)
    if others != [STATE]:
        more = ", ".join(name for name in others if name != STATE) or f"no {STATE}"
        raise CheckpointError(f"{where}: it looks at {more}; this robot gives {STATE} and images")
    if state != joints or actions != joints:
        raise CheckpointError(
            f"{where}: state of shape {state}, action of {actions}; the SO-101 has {joints}: "
            "a base model is fine-tuned on this arm before it runs on it"
        )


def _recorded_rate(source: LeRobotSource) -> int:
    """Return the fps of the dataset that the training config names, where it is still there."""
    train = source.directory / TRAIN_CONFIG
    ask = f"say rate_hz, the fps of its dataset, in {source.options_file}"
    if not train.exists():
        raise CheckpointError(f"{source.directory}: at how many Hz are its chunks? {ask}")
    dataset = read_json(train.resolve()).get("dataset")
    root = dataset.get("root") if isinstance(dataset, Mapping) else None
    info = Path(str(root)) / "meta" / "info.json"
    rate = read_json(info).get("fps") if root and info.is_file() else None
    if not isinstance(rate, int) or rate < 1:
        raise CheckpointError(f"{train}: its dataset is not at hand for its fps; {ask}")
    return rate


def _camera_names(outline: Outline, source: LeRobotSource) -> dict[str, str]:
    given = source.options.cameras
    names = {camera: _feature(name) for camera, name in given.items()}
    if not given:
        names = {name.removeprefix(IMAGE_PREFIX): name for name in outline.images}
        names = {camera: n for camera, n in names.items() if EMPTY_CAMERA not in camera}
    unknown = [name for name in names.values() if name not in outline.images]
    if unknown or len(set(names.values())) < len(names):
        raise CheckpointError(
            f"{source.options_file}: cameras: {', '.join(unknown) or 'a feature twice'}; "
            f"the policy looks at {', '.join(outline.images) or 'none'}"
        )
    absent = [name for name in outline.images if name not in names.values()]
    if absent and outline.kind not in WITH_SLOTS:
        raise CheckpointError(
            f"{source.options_file}: cameras: no camera for {', '.join(absent)}, and "
            f"{outline.kind} needs every image"
        )
    if outline.images and not names:
        raise CheckpointError(f"{source.options_file}: cameras: none of {', '.join(absent)}")
    return names


def _feature(name: str) -> str:
    return name if name.startswith(IMAGE_PREFIX) else IMAGE_PREFIX + name


def _image_size(
    outline: Outline, names: Mapping[str, str], options: LeRobotOptions
) -> tuple[int, int]:
    """Return the size of the images that the robot hands out.

    A network that scales and pads by itself is given the cameras' own aspect in the width it was
    made for: a square would be a distorted picture.
    """
    if not names:
        return (0, 0)
    if options.image_size != (0, 0):
        return options.image_size
    height, width = max(
        (outline.images[name] for name in names.values()), key=lambda s: s[0] * s[1]
    )
    if height == width and outline.kind in RESIZING:
        return (round(width * _ASPECT), width)
    return (height, width)


def _hint_of_adapter(directory: Path) -> str:
    is_adapter = (directory / ADAPTER_CONFIG).exists()
    return "; an adapter needs its policy's config.json beside it" if is_adapter else ""
