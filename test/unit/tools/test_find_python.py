"""The Python that `make` takes: 3.12 first, pyenv's too, and one clear line when there is none."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SYSTEM = ("sh", "sed", "ls", "grep", "sort", "uname")


@pytest.fixture
def machine(tmp_path):
    """A machine with nothing but a shell: fill it with `python(...)`, then `find()`."""
    return Machine(tmp_path)


class Machine:
    """A PATH, a home and a pyenv in a temporary directory."""

    def __init__(self, root):
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        for name in SYSTEM:
            (path,) = [p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists()][:1]
            (self.bin / name).symlink_to(path)

    def script(self, path, body):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"#!/bin/sh\n{body}\n")
        target.chmod(0o755)
        return target

    def python(self, path, minor, *, has_venv=True):
        """Put a stand-in that answers the three questions the script asks."""
        target = self.root / path
        answers = f'*version_info*) echo {minor};; *sys.executable*) echo "{target}";;'
        answers += f" *ensurepip*) exit {0 if has_venv else 1};;"
        return self.script(path, f'case "$2" in {answers} esac')

    def find(self, *arguments, **environ):
        base = {"PATH": str(self.bin), "HOME": str(self.root / "home")}
        # Every `/usr/bin/python3.x` of the real machine would win over the stand-ins.
        text = (ROOT / "tools" / "find_python.sh").read_text()
        script = self.script("find_python.sh", text.replace('"/usr/bin/python', '"/absent/python'))
        command = ["sh", str(script), str(self.root / ".venv"), *arguments]
        return subprocess.run(command, env=base | environ, capture_output=True, text=True)


def test_3_12_comes_before_3_13_and_3_11(machine):
    for minor in ("3.11", "3.13", "3.12"):
        machine.python(f"bin/python{minor}", minor)
    assert machine.find().stdout.strip() == str(machine.bin / "python3.12")


def test_a_shim_that_refuses_is_passed_over_for_pyenvs_newest(machine):
    machine.script("bin/python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    for patch in ("3.12.9", "3.12.10"):
        machine.python(f"pyenv/versions/{patch}/bin/python3.12", "3.12")
    found = machine.find(PYENV_ROOT=str(machine.root / "pyenv"))
    assert found.stdout.strip().endswith("3.12.10/bin/python3.12")
    assert found.stderr == ""


def test_pyenv_in_the_home_directory_is_found_without_its_variable(machine):
    machine.python("home/.pyenv/versions/3.13.1/bin/python3.13", "3.13")
    assert machine.find().stdout.strip().endswith("3.13.1/bin/python3.13")


def test_plain_python3_counts_by_its_version_not_its_name(machine):
    machine.python("bin/python3", "3.11")
    assert machine.find().stdout.strip() == str(machine.bin / "python3")
    machine.python("bin/python3", "3.10")
    assert machine.find().returncode == 1


def test_a_python_without_venv_is_passed_over_while_another_one_has_it(machine):
    machine.python("bin/python3.12", "3.12", has_venv=False)
    machine.python("bin/python3.11", "3.11")
    assert machine.find().stdout.strip() == str(machine.bin / "python3.11")


def test_a_missing_venv_module_is_named_in_one_line(machine):
    machine.python("bin/python3.12", "3.12", has_venv=False)
    found = machine.find()
    assert found.returncode == 1
    assert "python3-venv" in found.stderr
    assert "python3.12-venv" in found.stderr
    assert found.stderr.count("\n") == 1


def test_no_python_at_all_is_said_in_one_line(machine):
    found = machine.find()
    assert (found.returncode, found.stderr.count("\n")) == (1, 1)
    assert "3.12, 3.13 or 3.11" in found.stderr


def test_the_users_choice_wins_or_is_refused(machine):
    machine.python("bin/python3.12", "3.12")
    mine = machine.python("mine/python", "3.13")
    assert machine.find(str(mine)).stdout.strip() == str(mine)
    old = machine.python("old/python", "3.9")
    assert "3.11, 3.12 or 3.13" in machine.find(str(old)).stderr


def test_the_environments_own_python_is_kept(machine):
    machine.python("bin/python3.12", "3.12")
    kept = machine.python("elsewhere/python3.11", "3.11")
    (machine.root / ".venv").mkdir()
    (machine.root / ".venv" / "so101-setup.txt").write_text(f"python={kept}\nversion=3.11.7\n")
    assert machine.find().stdout.strip() == str(kept)
    kept.unlink()
    assert machine.find().stdout.strip() == str(machine.bin / "python3.12")


@pytest.mark.parametrize(
    ("system", "architecture", "fits"),
    [
        ("Linux", "x86_64", True),
        ("Linux", "aarch64", False),
        ("Darwin", "arm64", False),
        ("Darwin", "x86_64", False),
    ],
)
def test_where_there_are_no_wheels_one_line_points_to_the_guide(
    machine, system, architecture, fits
):
    (machine.bin / "uname").unlink()
    machine.script("bin/uname", f'[ "$1" = -s ] && echo {system} || echo {architecture}')
    checked = subprocess.run(
        ["sh", str(ROOT / "tools" / "check_platform.sh")],
        env={"PATH": os.fspath(machine.bin)},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == (0 if fits else 1)
    assert checked.stderr.count("\n") == (0 if fits else 1)
    assert fits or f"{system} {architecture}" in checked.stderr
    guide = re_guide(checked.stderr)
    assert fits or (ROOT / guide).exists()


def re_guide(text):
    """Return the guide that a message points to."""
    return text.strip().rsplit(" ", 1)[-1]
