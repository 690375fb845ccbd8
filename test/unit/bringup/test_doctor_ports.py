"""`so101 doctor` on ports: who may open them, and which group or rule is missing."""

import re

from so101_bringup.doctor.ports import INSTALL, INSTALLED, RULE, Adapter, check_ports, check_rule

TEXT = RULE.read_text(encoding="utf-8")
OPEN = Adapter(device="/dev/a", is_ours=True, group="dialout")
SHUT = Adapter(device="/dev/b", is_ours=False, group="dialout")


def test_no_adapter_is_no_problem():
    assert [one.is_fine for one in check_ports([], ())] == [True]


def test_a_port_that_can_be_opened_is_fine_whoever_uses_it():
    used = Adapter(device="/dev/c", is_ours=True, users=("lerobot (process 7)",))
    free, taken = check_ports([OPEN, used], ())
    assert free.is_fine and free.text == "/dev/a: free"
    assert taken.is_fine and taken.text == "/dev/c: in use by lerobot (process 7)"


def test_the_group_that_owns_a_port_is_named():
    (found,) = check_ports([SHUT], {"video"})
    assert not found.is_fine
    assert "usermod -aG dialout" in found.advice


def test_a_group_that_came_after_the_login_asks_for_a_new_login():
    (found,) = check_ports([SHUT], {"dialout"})
    assert "log out and in" in found.advice and "usermod" not in found.advice


def test_a_port_that_no_group_may_open_needs_the_rule():
    (found,) = check_ports([Adapter(device="/dev/b", is_ours=False)], {"dialout"})
    assert "udev rule" in found.advice and "usermod" not in found.advice


def test_the_rule_is_a_problem_only_where_it_helps_or_is_outdated():
    assert check_rule([], None, TEXT).is_fine
    assert check_rule([OPEN], None, TEXT).is_fine
    assert check_rule([SHUT], TEXT, TEXT).is_fine
    assert check_rule([OPEN, SHUT], None, TEXT).advice == INSTALL
    assert check_rule([OPEN], "old", TEXT).advice == INSTALL


def test_what_is_to_be_typed_names_files_that_are_there():
    assert RULE.is_file() and str(RULE) in INSTALL
    assert INSTALLED.name == RULE.name
    assert INSTALLED.name in TEXT


def test_the_rule_comes_before_systemd_looks_at_its_tag_and_jumps_to_labels_that_are_there():
    assert int(RULE.name[:2]) < 73
    lines = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
    labels = [re.fullmatch(r'LABEL="(\w+)"', line) for line in lines]
    names = {found[1]: at for at, found in enumerate(labels) if found}
    jumps = [(at, re.search(r'GOTO="(\w+)"', line)) for at, line in enumerate(lines)]
    assert all(names[found[1]] > at for at, found in jumps if found)
    assert {found[1] for _, found in jumps if found} == set(names)
    keys = re.compile(
        r'([A-Z]+(\{\w+\})?(==|!=|=|\+=)"[^"]*")(, ?[A-Z]+(\{\w+\})?(==|!=|=|\+=)"[^"]*")*'
    )
    assert all(keys.fullmatch(line) for line in lines)
