"""What the guides say can be typed: commands parse, links lead somewhere, the message is one."""

import re
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from so101.events import LabelEvent, from_message
from so101.services import SERVICES
from so101_bringup.cli import build_parser

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [ROOT / "README.md", *GUIDES]
REPL = ROOT / "docs" / "guides" / "repl.md"
REPL_WORDS = ["record", "teleop", "playback", "train", "infer", "sync", "load", "save", "group_rl"]
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page):
    return FENCE.findall(page.read_text(encoding="utf-8"))


def commands(page):
    """Return the lines that begin with the command, as words; what it prints has a colon.

    The table of the report's words has its commands in backticks, complete ones.
    """
    lines = [line for block in blocks(page) for line in block.splitlines()]
    if page == REPL:
        lines += re.findall(r"`(so101 [^`\n]+)`", page.read_text(encoding="utf-8"))
    words = [shlex.split(line, comments=True) for line in lines if line.startswith("so101 ")]
    return [one[1:] for one in words if not one[1].endswith(":")]


def anchors(page):
    """Return what GitHub makes of a page's headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize(
    "words", [one for page in GUIDES for one in commands(page)], ids=lambda one: " ".join(one[:2])
)
def test_a_command_of_a_guide_parses(words):
    if words == ["--help"]:
        return
    parsed = build_parser().parse_args(words)  # ends the test where it is refused
    assert parsed.verb != "call" or parsed.service in SERVICES


def test_the_readmes_help_is_the_programs(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert any(build_parser().format_help() == block for block in blocks(ROOT / "README.md"))


def test_every_guide_is_linked_from_the_readme():
    linked = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert {f"docs/guides/{guide.name}" for guide in GUIDES} <= set(linked)


def test_the_guides_have_commands():
    assert sum(len(commands(page)) for page in GUIDES) >= 15


def test_the_guide_has_every_word_of_the_repl():
    rows = [line.split("|") for line in REPL.read_text(encoding="utf-8").splitlines()]
    assert [row[1].strip() for row in rows if len(row) > 1][2:] == REPL_WORDS


@pages
def test_a_link_leads_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def as_message(values):
    """Build what ``ros2 topic pub`` builds: fields that are not named have their defaults."""
    header = SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0))
    defaults = {"level": b"\0", "hardware_id": ""}
    status = [
        SimpleNamespace(
            **{**defaults, **one, "values": [SimpleNamespace(**pair) for pair in one["values"]]}
        )
        for one in values["status"]
    ]
    return SimpleNamespace(header=header, status=status)


def test_the_message_of_rating_by_hand_is_a_label():
    (block,) = [text for text in blocks(ROOT / "docs/guides/rating_by_hand.md") if "pub" in text]
    *words, topic, kind, message = shlex.split(block)
    assert words == ["ros2", "topic", "pub", "--once"]
    assert (topic, kind) == ("/label", "diagnostic_msgs/msg/DiagnosticArray")
    label = LabelEvent.from_event(from_message(as_message(yaml.safe_load(message))))
    assert label == LabelEvent(
        stamp_ns=0,
        episode="group-02-rollout-03",
        rater="anna",
        advantage=0.5,
        reasons=("touched the cube twice",),
    )


def test_lerobots_commands_have_its_names():
    """Also those that a module runs, such as lerobot.rl.actor."""
    try:
        lerobot = distribution("lerobot")
    except PackageNotFoundError:
        pytest.skip("lerobot is not installed")
    text = (ROOT / "docs/guides/coming_from_lerobot.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(lerobot-[\w-]+)", text))
    assert len(told) >= 12
    assert told <= {entry.name for entry in lerobot.entry_points}
    modules = set(re.findall(r"`(lerobot\.[\w.]+)`", text))
    assert len(modules) >= 3
    files = {str(file) for file in lerobot.files}
    assert {f"{module.replace('.', '/')}.py" for module in modules} <= files
    strategies = set(re.findall(r"--strategy\.type=(\w+)", text))
    assert {f"lerobot/rollout/strategies/{name}.py" for name in strategies} <= files
