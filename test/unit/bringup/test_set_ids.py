"""`so101 calibrate --set-ids`: one servo after the other; what does not fit is only said."""

from contextlib import closing

import pytest
from twin_process import Twin

from so101.errors import PortLostError
from so101.robot import JOINTS
from so101.servos import registers as reg
from so101_bringup import cli, set_ids_job
from so101_bringup.cli_calibrate import open_bus
from so101_bringup.set_ids_job import set_ids

FIRST, SECOND = "gripper", "wrist_roll"


class Person:
    """Says the next word of a list whenever it is asked; ends with its input."""

    def __init__(self, words):
        self.words, self.shown, self.said = list(words), [], []

    def show(self, task, table):
        self.shown.append(" ".join(task))

    def line(self, timeout_s):
        if not self.words:
            raise EOFError
        return self.words.pop(0)

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def bus(monkeypatch):
    """A bus of which only is known who is plugged in next, and who was given which id."""

    class Bus:
        def __init__(self):
            self.found, self.given = [], []

    one = Bus()
    monkeypatch.setattr(set_ids_job, "only_servo", lambda bus: bus.found.pop(0))
    monkeypatch.setattr(
        set_ids_job, "give_id", lambda bus, servo, wanted: bus.given.append((servo, wanted))
    )
    return one


def test_each_servo_is_asked_for_and_gets_its_own_id_from_the_gripper_on(bus):
    bus.found = [1] * 6
    person = Person([""] * 6)
    assert set_ids(bus, person) == tuple(reversed(JOINTS))
    assert bus.given == [(1, servo) for servo in (6, 5, 4, 3, 2)]  # 1 is 1 already
    for joint, shown in zip(reversed(JOINTS), person.shown, strict=True):
        assert joint in shown


def test_the_servo_before_that_is_still_plugged_in_is_not_given_a_second_id(bus):
    bus.found = [1, 6, 1]
    person = Person(["", "", "", "q"])
    assert set_ids(bus, person) == (FIRST, SECOND)
    assert bus.given == [(1, 6), (1, 5)]
    assert any(f"of {FIRST}, done before" in shown for shown in person.shown)


def test_a_servo_that_was_set_up_before_is_changed_only_when_asked_twice(bus):
    bus.found = [3, 3]
    person = Person(["", "", "q"])
    assert set_ids(bus, person) == (FIRST,)
    assert bus.given == [(3, 6)]
    bus.found, bus.given = [3], []
    assert set_ids(bus, Person(["", "s", "q"])) == ()
    assert bus.given == []


def test_other_words_do_nothing(bus):
    assert set_ids(bus, Person(["yes", "x", "q"])) == ()
    assert bus.given == [] and bus.found == []


def test_a_lost_adapter_is_the_end(monkeypatch, bus):
    def lost(bus):
        raise PortLostError("gone")

    monkeypatch.setattr(set_ids_job, "only_servo", lost)
    with pytest.raises(PortLostError):
        set_ids(bus, Person([""] * 9))


class PersonAtTheTwin(Person):
    """Plugs in what it is asked for; at the second servo it forgets to unplug the others first."""

    def __init__(self, twin):
        super().__init__(["", "", "", "q"])
        self.twin = twin

    def show(self, task, table):
        super().show(task, table)
        (joint,) = (joint for joint in JOINTS if f"servo of {joint}," in task[0])
        is_wrong = joint == SECOND and len(self.shown) == 2
        self.twin.command("clear" if is_wrong else f"alone {joint}")


def test_factory_servos_on_a_serial_port_get_their_ids(tmp_path):
    with Twin(tmp_path) as twin:
        twin.command("id all 1")
        with closing(open_bus(str(twin.port))) as bus:
            person = PersonAtTheTwin(twin)
            assert set_ids(bus, person) == (FIRST, SECOND)
            assert "leave only one plugged in" in person.shown[2]
            for servo, joint in ((6, FIRST), (5, SECOND)):
                twin.command(f"alone {joint}")
                assert bus.read(servo, reg.ID) == servo


def test_calibrating_needs_a_name_and_setting_ids_does_not(capsys, tmp_path):
    assert cli.main(["calibrate", "--port", "nowhere"]) == 2
    assert "--id names the arm" in capsys.readouterr().err
    assert cli.main(["calibrate", "--set-ids", "--port", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
