"""The report as one HTML file: pictures embedded, nothing loaded, nothing run."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from so101.groups.gate import Verdict
from so101.groups.summary import percent, summary, typical_duration
from so101.statistics import paired_interval, wilson_interval
from so101_bringup.report.captions import CAPTIONS, TITLES
from so101_bringup.report.numbers import Evaluated, Group, Report, notes
from so101_bringup.report.style import STYLE
from so101_bringup.report.values import SHORT, LeftOut, Trained

NOTHING = "-"
"""What stands where there is no value."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture in light and in dark, as PNG."""

    light: bytes
    dark: bytes


def page(report: Report, pictures: Mapping[str, Picture]) -> str:
    """Return the whole page.

    Args:
        report: The figures.
        pictures: By the names of `CAPTIONS`.
    """
    said = notes(report.limit_s)
    title = f"so101 report: {report.run.name}"
    parts = [
        f"<header><h1>{escape(report.run.name)}</h1>{_lead(report)}</header>",
        f'<section class="cards">{"".join(_cards(report))}</section>',
        '<section class="pictures">',
        *(_figure(name, pictures[name]) for name in CAPTIONS),
        "</section>",
        _section("Groups", _groups(report), f"Median: {said['median_duration_s']}."),
        _section("Gate verdicts", _verdicts(report), _GATE_NOTE),
        _section("Left out", _left_out(report.run.left_out)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


_GATE_NOTE = (
    "What the gate compared: a candidate, the policy that acted and the supervised policy. In the "
    "time until done a failure counts as the time limit, and as one more try; median success "
    "duration and duration ratio are of successes alone."
)


def _lead(report: Report) -> str:
    text = (
        f"Seed {report.seed}: {len(report.run.rollouts)} rollouts in {len(report.groups)} groups, "
        f"{report.robot_minutes:.1f} robot minutes."
    )
    note = f"Robot minutes: {notes(report.limit_s)['robot_minutes']}."
    return f"<p>{escape(text)}</p><p>{_small(note)}</p>"


def _cards(report: Report) -> Iterable[str]:
    said = notes(report.limit_s)
    yield _evaluated_card("Before", "supervised policy", report.before)
    yield _evaluated_card("After", _after_name(report), report.after)
    yield _card(
        "Change",
        NOTHING if report.change is None else percent(report.change),
        _paired(report),
        "after / before - 1; failures are not in it, they are in the shares of successes",
    )
    first_s, last_s = report.first_and_last_s
    yield _card(
        "First and last groups",
        f"{first_s:.2f} to {last_s:.2f} s",
        "median of the first two and of the last two groups",
        said["last2_median_s"].replace("last two", "two"),
    )


def _evaluated_card(title: str, name: str, evaluated: Evaluated | None) -> str:
    if evaluated is None:
        return _card(title, NOTHING, name, "it was not evaluated, so there is nothing to compare")
    found = summary(evaluated.attempts)
    successes, n = found["successes"], found["n"]
    speeds = sorted({f"{one.facts.speed:g}" for one in evaluated.attempts})
    return _card(
        title,
        seconds(found["median_success_duration_s"]),
        f"{name} {evaluated.checkpoint.sha256[:SHORT]}: {successes}/{n} succeeded "
        f"({_interval(successes, n)}), playback {', '.join(speeds)}",
        "median of the successes alone; failures are in the share of successes",
    )


def _after_name(report: Report) -> str:
    if report.after is None:
        return "no later policy"
    if report.before is not None and report.after.checkpoint == report.before.checkpoint:
        return "still the supervised policy: no candidate was promoted,"
    return "promoted policy" if report.after.checkpoint.is_promoted else "newest evaluated policy"


def _paired(report: Report) -> str:
    found = report.paired
    if found is None:
        return "of the median duration of successes"
    low, high = paired_interval(found.won, found.lost, found.starts)
    return (
        f"of the median duration of successes; of {found.starts} common starts {found.won} were "
        f"won and {found.lost} lost (95 %: {100 * low:+.1f} to {100 * high:+.1f} points)"
    )


def _card(title: str, value: str, under: str, note: str) -> str:
    return (
        f'<div class="card"><h2>{escape(title)}</h2><p class="value">{escape(value)}</p>'
        f"<p>{escape(under)}</p><p>{_small(note)}</p></div>"
    )


def _figure(name: str, shown: Picture) -> str:
    title, caption = escape(TITLES[name]), escape(CAPTIONS[name])
    return (
        f'<figure class="{escape(name)}"><picture>'
        f'<source media="(prefers-color-scheme: dark)" srcset="{_embedded(shown.dark)}">'
        f'<img src="{_embedded(shown.light)}" alt="{title}"></picture>'
        f"<figcaption><strong>{title}.</strong> {caption}</figcaption></figure>"
    )


def _groups(report: Report) -> str:
    head = ("group", "successes", "95 % interval", "median", "speeds", "candidate")
    return _table(head, [_group_row(group, report.limit_s) for group in report.groups])


def _group_row(group: Group, limit_s: float) -> tuple[str, ...]:
    speeds = [rollout.facts.speed for rollout in group.rollouts]
    fate = "promoted" if group.is_promoted else "rejected" if group.is_judged else NOTHING
    return (
        str(group.number),
        f"{group.successes}/{len(group.rollouts)}",
        _interval(group.successes, len(group.rollouts)).removeprefix("95 % "),
        seconds(typical_duration(group.rollouts, limit_s)),
        f"{min(speeds):.2f} to {max(speeds):.2f}",
        fate,
    )


def _verdicts(report: Report) -> str:
    """Tell each verdict with its evidence, whatever the gate wrote there."""
    judged = [
        (trained, trained.verdict)
        for trained in report.run.checkpoints
        if trained.verdict is not None
    ]
    if not judged:
        return "<p>No checkpoint was judged.</p>"
    keys = list(dict.fromkeys(key for _, verdict in judged for key in verdict.evidence))
    names = [key.removesuffix("_s").replace("_", " ") for key in keys]
    rows = [_verdict_row(trained, verdict, keys) for trained, verdict in judged]
    return _table(("group", "candidate", "verdict", "why", *names, "loss"), rows)


def _verdict_row(trained: Trained, verdict: Verdict, keys: Sequence[str]) -> tuple[str, ...]:
    return (
        NOTHING if trained.group < 0 else str(trained.group),
        trained.sha256[:SHORT],
        "promoted" if verdict.is_accepted else "rejected",
        "; ".join(verdict.reasons) or NOTHING,
        *(_evidence(key, verdict.evidence.get(key)) for key in keys),
        number(trained.loss_curve[-1][1] if trained.loss_curve else None, ".4f"),
    )


def _evidence(key: str, value: object) -> str:
    if isinstance(value, float):
        return seconds(value) if key.endswith("_s") else number(value, ".3f")
    return NOTHING if value is None else str(value)


def _left_out(left_out: Sequence[LeftOut]) -> str:
    if not left_out:
        return "<p>Nothing.</p>"
    return _table(("what", "why"), [(one.name, one.reason) for one in left_out])


def _section(title: str, content: str, note: str = "") -> str:
    said = f"<p>{_small(note)}</p>" if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{content}</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(map(_cell, head, row))}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{names}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(column: str, text: str) -> str:
    """Return a cell; only those of what, why and verdicts look different from the rest."""
    kind = column if column in ("what", "why") else text
    kind = f' class="{kind}"' if kind in ("what", "why", "promoted", "rejected") else ""
    return f"<td{kind}>{escape(text)}</td>"


def _small(text: str) -> str:
    return f"<small>{escape(text)}</small>"


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _interval(successes: int, n: int) -> str:
    low, high = wilson_interval(successes, n)
    return f"95 % {low:.2f} to {high:.2f}"


def number(value: object, form: str) -> str:
    """Return a number as text; what is none, such as None, as nothing."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return format(value, form) if is_number else NOTHING


def seconds(value: object) -> str:
    """Return a duration as text."""
    text = number(value, ".2f")
    return text if text == NOTHING else f"{text} s"
