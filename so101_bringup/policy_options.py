"""What a person's choice of a policy comes to: where it is, and how often it decides."""

from dataclasses import replace
from pathlib import Path

from so101.action import ActionSpace
from so101.clock import nanoseconds
from so101.errors import ConfigError
from so101_bringup.graph_options import GraphOptions

_SCHEMES = ("ws://", "wss://")


def check_policy(options: GraphOptions) -> None:
    """Refuse what names no policy, or two.

    Raises:
        ConfigError: The message says what does not go together.
    """
    if options.server and not options.server.startswith(_SCHEMES):
        raise ConfigError(f"server: {options.server!r} is no address; say ws://host:port")
    if options.server and options.checkpoint:
        raise ConfigError(
            f"server: {options.server} has a policy of its own; leave out the checkpoint "
            f"{options.checkpoint}"
        )
    for name in ("server_token_file", "server_ca"):
        if getattr(options, name) and not options.server:
            raise ConfigError(f"{name}: is for a server, and none is named")


def refuse_server(options: GraphOptions) -> None:
    """Refuse a server where a learner makes the policies.

    Raises:
        ConfigError: One is named.
    """
    if options.server:
        raise ConfigError(
            f"server: {options.server} would act, and what the learner here makes never would; "
            "leave it out, or run the robot with up while the server learns"
        )


def policy_values(options: GraphOptions) -> dict[str, str | int | float]:
    """Return the policy node's parameters that say where its policy is, and when it looks."""
    return {
        "checkpoint": options.checkpoint,
        "server": options.server,
        "server_token_file": options.server_token_file,
        "server_ca": options.server_ca,
        "schedule": options.schedule,
        "decision_ticks": decision_ticks_of(options),
        "latency": options.simulated_latency,
    }


def decision_ticks_of(options: GraphOptions, space: ActionSpace | None = None) -> int:
    """Return the policy ticks from one chunk to the next.

    Args:
        options: What was chosen; the rest follows from it.
        space: Of the policy; None takes the default one.

    Raises:
        ConfigError: It has to be computed, and torch is missing in this Python.
    """
    if options.decision_ticks:
        return options.decision_ticks
    space = space or ActionSpace()
    if options.schedule in ("async", "rtc"):  # they look as soon as the policy says
        return space.decision_ticks
    try:
        from so101.policies.hold_policy import HoldPolicy  # torch: only the other schedules pay
        from so101.policies.schedules.latency import LatencyEstimate
        from so101.policies.schedules.scheduling import make_schedule
        from so101.spec import PolicySpec
    except ImportError as error:
        raise _unknown_rhythm(f"schedule: {options.schedule}", error) from error

    latency = LatencyEstimate(nanoseconds(options.simulated_latency))
    policy = HoldPolicy(PolicySpec(action_space=space))
    return make_schedule(options.schedule, policy, latency=latency).decision_ticks


def with_rhythm(options: GraphOptions) -> GraphOptions:
    """Return the options with the decision ticks of the checkpoint that they name.

    Raises:
        CheckpointError: It cannot be read.
        ConfigError: It has to be, and torch is missing in this Python.
    """
    if not options.checkpoint or options.decision_ticks:
        return options
    try:
        from so101.policies.checkpoints.checkpoint import read_spec
    except ImportError as error:
        raise _unknown_rhythm(f"checkpoint: {options.checkpoint}", error) from error

    space = read_spec(Path(options.checkpoint).expanduser()).action_space
    return replace(options, decision_ticks=decision_ticks_of(options, space))


def _unknown_rhythm(what: str, error: ImportError) -> ConfigError:
    """Return what is said in a Python without torch, such as that of launch."""
    return ConfigError(
        f"{what}: how often it decides is computed with torch, and that is missing in this Python "
        f"({error}); give decision_ticks"
    )
