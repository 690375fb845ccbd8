"""What stands above and below each picture of the report."""

TITLES = {
    "durations": "Rollouts by group and duration",
    "success": "Successes by group",
    "change": "Before and after, on the report poses",
    "loss": "Loss",
}
CAPTIONS = {
    "durations": "Every point is a rollout: how long it took, and how it ended. The line is the "
    "median over a group and its two neighbours, the band reaches from the 25th to the 75th "
    "percentile; a rollout that did not succeed counts there as the time limit (dashed). Marks "
    "between two groups: what was trained there passed the gate (plus) or did not (cross).",
    "success": "Share of each group's rollouts that succeeded, with its 95 % Wilson interval. "
    "Rollouts explore speed: this is not how the policy does at its own pace.",
    "change": "Share of the report poses that were done within a time. Failures are never done: "
    "each curve ends at its share of successes.",
    "loss": "Training losses, one checkpoint after another: supervised first, then those trained "
    "after each group; rejected candidates are grey. Only a curve's own course means something.",
}
