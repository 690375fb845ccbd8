"""docs/safety_cases.md names a test for every case, and every test that is marked with one."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "safety_cases.md"
NEEDED = {*range(1, 24), 25, *range(28, 33), 41, 42, *range(45, 48)}


def marked():
    """Return the tests of every case, as ``path::name``, from the sources."""
    found = defaultdict(set)
    for path in (ROOT / "test").rglob("test_*.py"):
        text = path.read_text("utf-8")
        if "mark.case(" not in text:
            continue
        where = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(text)):
            for mark in getattr(node, "decorator_list", []):
                if ast.unparse(mark).startswith("pytest.mark.case("):
                    for number in mark.args:
                        found[number.value].add(f"{where}::{node.name}")
    return dict(found)


def documented():
    """Return the tests of every case, as the page's table names them."""
    found = {}
    for line in PAGE.read_text("utf-8").splitlines():
        if row := re.match(r"\| (\d+) \|", line):
            number = int(row[1])
            assert number not in found, number
            found[number] = set(re.findall(r"`(test/[^`]+::[^`]+)`", line.split("|")[4]))
    return found


def test_every_case_has_a_test():
    missing = NEEDED - set(marked())
    assert not missing, f"no test is marked with case {sorted(missing)}"


def test_the_page_names_exactly_the_tests_that_are_marked():
    tests, rows = marked(), documented()
    for number in sorted({*tests, *rows}):
        assert rows.get(number) == tests.get(number), f"case {number}"


def test_what_is_marked_is_a_test_that_pytest_runs():
    for tests in marked().values():
        for test in tests:
            assert test.split("::")[1].startswith("test_"), test
