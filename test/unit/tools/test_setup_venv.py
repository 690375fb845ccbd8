"""Set-up does nothing when nothing changed, heals after a kill, and needs the network but once."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def load(name):
    """Import a script of `tools`, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


setup_venv = load("setup_venv")
write_lock = load("write_lock")


class Killed(BaseException):
    """Stands for SIGKILL in the middle of a command."""


class Place:
    """A project and an environment in a temporary directory; commands are only noted."""

    def __init__(self, root):
        self.root = root / "project"
        self.venv = root / ".venv"
        (self.root / "requirements").mkdir(parents=True)
        self.lock = self.root / "requirements" / setup_venv.lock_path(ROOT).name
        for name in ("run.in", "ros_wheels.in", "dev.in", "lerobot.in", self.lock.name):
            (self.root / "requirements" / name).write_text(f"{name}\n")
        for name in ("setup.py", "setup.cfg", "package.xml", "pyproject.toml"):
            (self.root / name).write_text(f"{name}\n")

    def build(self, die_at=None, **options):
        """Build and return the steps taken: venv, pip, requirements, lerobot, project."""
        steps = []

        def run(command):
            if "venv" in command:
                step = "venv"
                (self.venv / "bin").mkdir(parents=True, exist_ok=True)
                (self.venv / "bin" / "python").touch()
                for name in (setup_venv.RECORD, setup_venv.MARK):
                    (self.venv / name).unlink(missing_ok=True)
                (self.venv / "pyvenv.cfg").write_text(
                    f"version = {sys.version.split()[0]}\n"
                    f"command = {sys.executable} -m venv --clear {self.venv}\n"
                )
            elif "-e" in command:
                step = "project"
                assert "--no-index" in command
                assert "--no-deps" in command
            else:
                step = "requirements" if "-r" in command else "pip"
                if any(word.endswith("lerobot.in") for word in command):
                    assert any(word.endswith("dev.in") for word in command)
                    step = "lerobot"
                assert command[-2:] == ["-c", str(self.lock)]
            steps.append(step)
            if step == die_at:
                raise Killed

        try:
            setup_venv.build(self.venv, self.root, run, **options)
        except Killed:
            steps.append("killed")
        return steps


ALL = ["venv", "pip", "requirements", "project"]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_the_second_run_does_nothing(place):
    assert place.build() == ALL
    assert place.build() == []


@pytest.mark.parametrize("name", ["run.in", "ros_wheels.in", "dev.in"])
def test_changed_requirements_are_installed_into_the_same_environment(place, name):
    place.build()
    (place.root / "requirements" / name).write_text("other\n")
    assert place.build() == ALL[1:]
    assert place.build() == []


def test_lerobot_is_installed_when_asked_for_and_stays(place):
    assert place.build() == ALL
    with_lerobot = ["pip", "lerobot", "project"]
    assert place.build(with_lerobot=True) == with_lerobot
    assert place.build(with_lerobot=True) == []
    assert place.build() == []
    place.lock.write_text("other\n")
    assert place.build() == with_lerobot


def test_lerobot_requirements_concern_only_whoever_has_it(place):
    place.build()
    (place.root / "requirements" / "lerobot.in").write_text("other\n")
    assert place.build() == []
    place.build(with_lerobot=True)
    (place.root / "requirements" / "lerobot.in").write_text("yet another\n")
    assert place.build() == ["pip", "lerobot", "project"]


def test_a_record_of_before_lerobot_is_still_read(place):
    place.build()
    path = place.venv / setup_venv.RECORD
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("inputs=")) + "\n")
    assert place.build() == []


def test_a_changed_lock_is_installed(place):
    place.build()
    place.lock.write_text("other\n")
    assert place.build() == ALL[1:]


@pytest.mark.parametrize("name", ["setup.py", "setup.cfg", "package.xml", "pyproject.toml"])
def test_a_changed_package_definition_needs_no_network(place, name):
    place.build()
    (place.root / name).write_text("other\n")
    assert place.build() == ["project"]
    assert place.build() == []


@pytest.mark.parametrize("step", ALL)
def test_a_set_up_killed_at_any_step_heals(place, step):
    assert place.build(die_at=step)[-1] == "killed"
    healed = place.build()
    assert healed == (ALL[1:] if step == "venv" else ALL)
    assert place.build() == []


def test_an_update_killed_half_way_is_never_taken_for_whole(place):
    place.build()
    place.lock.write_text("other\n")
    assert place.build(die_at="requirements")[-1] == "killed"
    assert place.build() == ALL


def test_a_failure_of_pip_itself_keeps_the_environment(place, monkeypatch):
    runner = setup_venv.logged_runner(place.venv, 1)
    place.build()
    (place.venv / setup_venv.MARK).touch()
    with pytest.raises(setup_venv.SetupError, match="no such package"):
        runner([sys.executable, "-c", "import sys; print('no such package'); sys.exit(1)"])
    place.lock.write_text("other\n")
    assert place.build() == ALL[1:]


def test_a_moved_environment_is_built_anew(place):
    place.build()
    place.venv.rename(place.venv.with_name("old"))
    moved = place.venv.with_name("old")
    moved.rename(place.venv.with_name("new"))
    place.venv = place.venv.with_name("new")
    assert place.build() == ALL


def test_another_python_builds_it_anew(place, monkeypatch):
    place.build()
    monkeypatch.setattr(sys, "executable", "/another/python")
    assert place.build() == ALL


def test_an_unreadable_record_is_no_record(place):
    place.build()
    (place.venv / setup_venv.RECORD).write_text("nonsense\n")
    assert place.build() == ALL[1:]


def test_a_python_without_a_lock_is_refused(place):
    place.lock.unlink()
    with pytest.raises(setup_venv.SetupError, match=place.lock.name):
        place.build()


def test_pins_are_normalized_sorted_and_without_local_versions():
    pairs = [("torch", "2.13.0+cpu"), ("Farama_Notifications", "0.0.6"), ("a.b", "1!2")]
    assert write_lock.pins(pairs) == ["a-b==1!2", "farama-notifications==0.0.6", "torch==2.13.0"]
