"""Where an arm's own world is in the common one, for the publisher of that transform."""

from so101.errors import ConfigError

_FLAGS = ("--x", "--y", "--z", "--yaw", "--pitch", "--roll")


def base_arguments(base: str, frame_prefix: str) -> tuple[str, ...]:
    """Return the arguments of static_transform_publisher.

    Args:
        base: x y z [m] and yaw pitch roll [rad].
        frame_prefix: In front of the arm's frames.

    Raises:
        ConfigError: The base is not six numbers.
    """
    try:
        numbers = [float(word) for word in base.split()]
    except ValueError:
        numbers = []
    if len(numbers) != len(_FLAGS):
        raise ConfigError(f"base: {base!r} is not x y z yaw pitch roll")
    pairs = zip(_FLAGS, map(str, numbers), strict=True)
    arguments = tuple(word for pair in pairs for word in pair)
    return (*arguments, "--frame-id", "world", "--child-frame-id", f"{frame_prefix}world")
