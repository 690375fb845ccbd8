"""The policies a checkpoint may name. Adding one is adding a line."""

from so101.policies.flow_policy import FlowPolicy

POLICIES: dict[str, type[FlowPolicy]] = {
    "flow": FlowPolicy,
}
