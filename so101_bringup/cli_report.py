"""The verb that says how a run went: report. It needs no running graph and no ROS."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so101_bringup.cli_common import DEFAULT_STORE

if TYPE_CHECKING:
    from so101_bringup.report.numbers import Evaluated, Report


def add_verbs(verbs: Any) -> None:
    """Add the verb to the parser."""
    report = verbs.add_parser("report", help="how a run of groups went: page, figure, numbers")
    report.add_argument(
        "store",
        nargs="?",
        default=DEFAULT_STORE,
        metavar="STORE",
        help=f"directory of the run ({DEFAULT_STORE})",
    )
    report.add_argument("--json", default="", metavar="FILE", help="write the numbers there")
    report.add_argument(
        "--out", default="", metavar="DIR", help="directory of page and figure (STORE/report)"
    )
    report.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> int:
    from so101.data.durable import write_text
    from so101_bringup.paths import RunPaths
    from so101_bringup.report.collect import collect
    from so101_bringup.report.numbers import Report
    from so101_bringup.report.publish import publish

    root = Path(arguments.store).expanduser()
    report = Report(collect(root))
    for line in lines(report):
        print(line)
    out = Path(arguments.out).expanduser() if arguments.out else RunPaths(root=root).report
    for path in publish(report, out):
        print(f"written to {path}")
    if arguments.json:
        path = Path(arguments.json).expanduser()
        write_text(path, json.dumps(report.to_mapping(), indent=1, allow_nan=False) + "\n")
        print(f"written to {path}")
    return 0


def lines(report: "Report") -> list[str]:
    """Say the main figures in a few lines for a person."""
    from so101.groups.summary import percent

    first_s, last_s = report.first_and_last_s
    promoted = sum(group.is_promoted for group in report.groups)
    return [
        f"so101 report: {report.run.name}, seed {report.seed}",
        f"groups    {len(report.groups)}, {promoted} promoted; "
        f"{len(report.run.rollouts)} rollouts, {report.robot_minutes:.1f} robot minutes",
        f"duration  first two groups {first_s:.2f} s, last two {last_s:.2f} s "
        f"(medians, failures as {report.limit_s:g} s)",
        f"before    {_said(report.before)}",
        f"after     {_after(report)}",
        f"change    {percent(report.change)} (median of the successes)",
        f"left out  {len(report.run.left_out)} (the page says why)",
    ]


def _after(report: "Report") -> str:
    """Say how the promoted policy did; of the supervised one, that nothing took its place."""
    if report.after is None:
        return "not evaluated"
    if report.before is not None and report.after.checkpoint == report.before.checkpoint:
        return "the same: no later policy is promoted"
    is_promoted = report.after.checkpoint.is_promoted
    return _said(report.after) + ("" if is_promoted else ", the newest evaluated, not promoted")


def _said(evaluated: "Evaluated | None") -> str:
    from so101.groups.summary import summary

    if evaluated is None:
        return "not evaluated"
    found = summary(evaluated.attempts)
    typical_s = found["median_success_duration_s"]
    median = "none" if typical_s is None else f"{typical_s:.2f} s"
    name = evaluated.checkpoint.name
    return f"{found['successes']}/{found['n']} succeeded, median {median} ({name})"
