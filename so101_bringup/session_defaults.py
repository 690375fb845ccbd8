"""What a session aims at in each mode: demonstrations, evaluation, target, groups. Pure.

Measured per mode: object poses are learned from fewer demonstrations and to a higher success than
camera images. What a person chose wins.
"""

from dataclasses import dataclass, replace

from so101_bringup.graph_options import GraphOptions


@dataclass(frozen=True, kw_only=True)
class SessionGoals:
    """What a session aims at.

    Attributes:
        demonstrations: Successful demonstrations before the first training.
        more_demonstrations: Added whenever an evaluation misses the target.
        max_demonstrations: Bound of demonstrations.
        evaluation_episodes: Episodes of an evaluation.
        target_success: Share of successes below which more demonstrations are collected.
        groups: Groups of rollouts after a good evaluation.
        rollouts: Rollouts of a group.
        gate_margin: Success share that a candidate may lose against the supervised policy.
    """

    demonstrations: int
    more_demonstrations: int
    max_demonstrations: int
    evaluation_episodes: int
    target_success: float
    groups: int
    rollouts: int
    gate_margin: float


STATE = SessionGoals(
    demonstrations=60,
    more_demonstrations=30,
    max_demonstrations=180,
    evaluation_episodes=20,
    target_success=0.9,
    groups=8,
    rollouts=10,
    gate_margin=0.0,
)
CAMERAS = SessionGoals(
    demonstrations=80,
    more_demonstrations=40,
    max_demonstrations=240,
    evaluation_episodes=20,
    target_success=0.75,
    groups=5,
    rollouts=10,
    gate_margin=0.05,
)

NEXT_GROUP_MARGIN = 0.05
"""Margin where one group judges: of ten rollouts one may be lost; none would reject by chance."""


def goals_of(options: GraphOptions) -> SessionGoals:
    """Return what a session with these options aims at; an option of 0 leaves it to the mode."""
    mode = STATE if options.state else CAMERAS
    demonstrations = options.demonstrations or mode.demonstrations
    return replace(
        mode,
        demonstrations=demonstrations,
        max_demonstrations=max(mode.max_demonstrations, demonstrations),
        evaluation_episodes=options.evaluation_episodes or mode.evaluation_episodes,
        target_success=options.target_success or mode.target_success,
        groups=mode.groups if options.groups < 0 else options.groups,
        rollouts=options.rollouts or mode.rollouts,
        gate_margin=NEXT_GROUP_MARGIN if options.gate == "next_group" else mode.gate_margin,
    )


def session_goals(options: GraphOptions) -> dict[str, int]:
    """Return phase to the number of episodes aimed at, for the display."""
    goals = goals_of(options)
    return {
        "demonstrations": goals.demonstrations,
        "evaluation": goals.evaluation_episodes,
        "rollouts": goals.groups * goals.rollouts,
    }
