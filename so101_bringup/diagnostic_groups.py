"""Which groups of ``config/diagnostics.yaml`` a graph has something to say in.

diagnostic_aggregator calls a group that nobody speaks in stale, and then the whole robot faulty.
So a graph without a learner has no group of learners.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from so101.config import load_yaml
from so101_bringup.node_spec import flat
from so101_bringup.paths import config_path

AGGREGATOR = "analyzers"
"""Name of diagnostic_aggregator's node, and with it of the file's section."""


def diagnostic_parameters(nodes: Collection[str]) -> dict[str, Any]:
    """Return the aggregator's parameters for a graph, names joined by dots.

    Args:
        nodes: Names of the graph's nodes.
    """
    return dict(flat(dict(_chosen(nodes))))


def takes(group: Mapping[str, Any], name: str) -> bool:
    """Tell whether a group of the file takes a status of this name, as the aggregator does.

    Args:
        group: A GenericAnalyzer's parameters.
        name: Of the status.
    """
    begins = any(name.startswith(start) for start in group.get("startswith", ()))
    return begins or any(re.fullmatch(pattern, name) for pattern in group.get("regex", ()))


def sections() -> Mapping[str, Any]:
    """Return the file's parameters: those of all groups, and mappings by group."""
    (content,) = load_yaml(config_path("diagnostics.yaml")).values()
    found: Mapping[str, Any] = content["ros__parameters"]
    return found


def _chosen(nodes: Collection[str]) -> Iterator[tuple[str, Any]]:
    for key, value in sections().items():
        if not isinstance(value, Mapping) or any(takes(value, name) for name in nodes):
            yield key, value
