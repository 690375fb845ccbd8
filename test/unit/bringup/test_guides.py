"""Every command that a guide names can be typed: its verb and its options exist."""

import re
import shlex
from pathlib import Path

import pytest

from so101.topics import SERVICES
from so101_bringup.cli import build_parser

GUIDES = sorted((Path(__file__).parents[3] / "docs" / "guides").glob("*.md"))
REPL = ("record", "teleop", "playback", "train", "infer", "sync", "load", "save", "group_rl")


def commands(guide):
    """Yield every command in backticks or at the beginning of a line, without its comment."""
    text = guide.read_text()
    for found in re.findall(r"(?:^|`)(so101 [^`\n]+)", text, re.MULTILINE):
        yield shlex.split(found, comments=True)[1:]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_command_of_a_guide_can_be_typed(guide):
    for words in commands(guide):
        if words == ["--help"] or not words:
            continue
        parsed = build_parser().parse_args(words)  # ends the test where it is refused
        if parsed.verb == "call":
            assert parsed.service in SERVICES


def test_the_guide_has_every_word_of_the_repl():
    (guide,) = (one for one in GUIDES if one.stem == "repl")
    rows = [line.split("|")[1].strip() for line in guide.read_text().splitlines() if "|" in line]
    assert tuple(rows[2:]) == REPL
