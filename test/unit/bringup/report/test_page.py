"""The page is one well-formed file that loads nothing, and shows what it was given."""

import base64
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pytest

from so101.episode import EpisodeFacts
from so101_bringup.report.captions import CAPTIONS
from so101_bringup.report.figure import DARK, LIGHT, PICTURES, overview, picture
from so101_bringup.report.numbers import Report
from so101_bringup.report.page import Picture, number, page
from so101_bringup.report.style import STYLE
from so101_bringup.report.values import LeftOut

VOID = {"meta", "img", "source"}
NIGHT = "(prefers-color-scheme: dark)"
PNG = b"\x89PNG\r\n\x1a\n"
EVIL = "<script>alert(\"1\")</script> & 'x'"
SHOWN = Picture(light=PNG + b"light", dark=PNG + b"dark")


class Document(HTMLParser):
    """Checks nesting; keeps the text and the attributes of each tag."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.text, self.tags = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len({name for name, _ in attrs}) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def read(report):
    text = page(report, dict.fromkeys(CAPTIONS, SHOWN))
    document = Document(text)
    return document, " ".join(" ".join(document.text).split())


def test_it_is_well_formed_and_loads_nothing(run):
    document, _ = read(Report(run))
    shown = [one["src"] for one in document.all("img")]
    shown += [one["srcset"] for one in document.all("source")]
    assert len(shown) == 2 * len(PICTURES)
    for address in shown:
        kind, data = address.split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(PNG)
    assert {"link", "script", "iframe"}.isdisjoint(tag for tag, _ in document.tags)
    assert all(one["alt"] for one in document.all("img"))
    assert [one["media"] for one in document.all("source")] == [NIGHT] * len(PICTURES)
    assert re.search(r"url\(|@import|//", STYLE) is None
    (language,) = document.all("html")
    assert language["lang"] == "en"
    (viewport,) = (one for one in document.all("meta") if one.get("name") == "viewport")
    assert "width=device-width" in viewport["content"]


def test_it_shows_the_figures_and_how_failures_enter_them(run):
    _, text = read(Report(run))
    for said in ("7.00 s", "4.90 s", "-30.0 %", "7.00 to 5.00 s", "2/3 succeeded", "0.9 robot"):
        assert said in text
    assert "counts as the time limit of 12 s" in text
    assert "1 were won and 0 lost" in text
    assert "0.30 s slower" in text and "0.875" in text and "0.1000" in text
    assert "time until done" in text and "4.75 s" in text
    assert "Left out Nothing." in text


def test_names_are_escaped(run):
    bad = replace(
        run,
        name=EVIL,
        left_out=(LeftOut(name=EVIL, reason=EVIL),),
        checkpoints=tuple(
            replace(
                one,
                sha256=one.sha256 if one.verdict is None else "<b>" + one.sha256,
                verdict=None
                if one.verdict is None
                else replace(one.verdict, reasons=(EVIL,), evidence={"poses": EVIL}),
            )
            for one in run.checkpoints
        ),
    )
    document, text = read(Report(bad))
    assert document.all("script") == [] and document.all("b") == []
    assert text.count(" ".join(EVIL.split())) >= 6


def test_what_is_missing_is_said(run):
    bare = Report(replace(run, checkpoints=(), evaluations={}))
    _, text = read(bare)
    assert text.count("it was not evaluated") == 2
    assert "No checkpoint was judged." in text
    promoted_nothing = replace(
        run,
        checkpoints=(replace(run.checkpoints[0], is_promoted=True), run.checkpoints[1]),
    )
    assert "no candidate was promoted" in read(Report(promoted_nothing))[1]


@pytest.mark.parametrize("value", [None, "x", True, []])
def test_what_is_no_number_is_shown_as_nothing(value):
    assert number(value, ".2f") == "-"


def test_text_of_any_length_may_wrap(run):
    document, _ = read(Report(replace(run, left_out=(LeftOut(name="x" * 99, reason="y" * 99),))))
    kinds = [one.get("class") for one in document.all("td")]
    assert kinds.count("why") == 3 and kinds.count("what") == 1
    assert re.search(r"\.what, \.why {[^}]*overflow-wrap: anywhere", STYLE)


def luminance(colour):
    """Return the relative luminance of WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("is_night", "palette"), [(False, LIGHT), (True, DARK)])
def test_everything_can_be_read_by_day_and_by_night(is_night, palette):
    colours = dict(re.findall(r"--(\w+): (#\w{6})", STYLE.split(NIGHT)[is_night]))
    assert colours.keys() == {"page", "card", "ink", "soft", "line", "good"}
    for text in ("ink", "soft", "good"):
        assert min(contrast(colours[text], colours[on]) for on in ("page", "card")) >= 4.5
    drawn = asdict(palette)
    assert drawn.pop("page") == colours["card"]
    assert drawn["ink"] == colours["ink"]
    assert min(contrast(colour, colours["card"]) for colour in drawn.values()) >= 3.0


def variants(run):
    yield run
    yield replace(run, checkpoints=(), evaluations={})
    yield replace(run, rollouts=run.rollouts[:1])
    failed = tuple(one for one in run.rollouts if not one.is_success)
    yield replace(run, rollouts=failed)
    many = [
        replace(one, facts=EpisodeFacts(id="x", group=g))
        for g in range(40)
        for one in run.rollouts
    ]
    yield replace(run, rollouts=tuple(many))


def test_every_picture_can_be_drawn(run):
    for one in variants(run):
        assert picture(Report(one), "durations", LIGHT).startswith(PNG)
    for one in list(variants(run))[:2]:
        for name in PICTURES:
            assert picture(Report(one), name, DARK).startswith(PNG)
    assert overview(Report(replace(run, name="a$b$_{\\"))).startswith(PNG)


def test_pictures_are_the_same_every_time(run):
    assert picture(Report(run), "success", LIGHT) == picture(Report(run), "success", LIGHT)
