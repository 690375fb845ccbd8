"""What is done to a run's directory before any node starts.

launch runs this with the Python of its own installation, which has nothing from pip.
"""

from dataclasses import replace

from so101.errors import ConfigError
from so101_bringup.graph_options import GraphOptions
from so101_bringup.policy_options import with_rhythm

_MOST = 10_000


def prepare(options: GraphOptions) -> GraphOptions:
    """Make the bags that the run starts from part of its own store, and read its checkpoint.

    Returns:
        The options; unless a number of demonstrations was chosen, those bags are enough for the
        first training, and unless a rhythm was chosen, it is the checkpoint's.

    Raises:
        StoreError: The bags hold no demonstration, or cannot be made part of the store.
        CheckpointError: The checkpoint to start from cannot be read.
        ConfigError: This Python lacks what reads bags or checkpoints, as launch's own may.
    """
    options = with_rhythm(options)
    if not options.episodes:
        return options
    try:
        from so101_bringup.borrowed_bags import demonstrations_into
    except ImportError as error:
        raise ConfigError(
            f"episodes: {options.episodes}: what reads bags is missing in this Python ({error}); "
            "start launch with the one that has it: python $(command -v ros2) launch ..."
        ) from error

    found = demonstrations_into(options.paths.episodes, options.episodes)
    return replace(options, demonstrations=options.demonstrations or min(found, _MOST))
