"""`so101 doctor` on simulated servos, through the real bus: it and the driver agree."""

import json
from contextlib import closing

import pytest
from twin_process import Twin

from hardware_node.boot import boot
from so101.errors import HardwareError
from so101.servos.bus import ServoBus
from so101.servos.calibration import read_calibration
from so101.servos.port import SerialPort
from so101_bringup import cli

SERVOS = ("servos", "firmware", "voltage", "temperature", "status", "settings", "limits")


@pytest.fixture
def twin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(tmp_path))
    with Twin(tmp_path) as started:
        path = tmp_path / "robots/so_follower/blue.json"
        path.parent.mkdir(parents=True)
        path.write_text(started.calibration.read_text())
        yield started


def look(twin, capsys):
    cli.main(["doctor", "--port", str(twin.port), "--id", "blue", "--json"])
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    return {name: one for name, one in found.items() if name in SERVOS}


def problems(twin, capsys):
    found = look(twin, capsys)
    assert set(found) == set(SERVOS)
    return {name: one["text"] for name, one in found.items() if not one["is_fine"]}


def start_driver(twin, *, write_eeprom):
    with closing(ServoBus(SerialPort(str(twin.port)), reply_s=0.05)) as bus:
        return boot(bus, read_calibration(twin.calibration), write_eeprom=write_eeprom)


def test_the_doctor_and_the_driver_refuse_and_take_the_same_arm(twin, capsys):
    with pytest.raises(HardwareError, match="p_coefficient is 32, wanted 16"):
        start_driver(twin, write_eeprom=False)
    found = problems(twin, capsys)
    assert list(found) == ["settings"] and "p_coefficient is 32, wanted 16" in found["settings"]
    start_driver(twin, write_eeprom=True)
    assert problems(twin, capsys) == {}
    assert start_driver(twin, write_eeprom=False).mended == ()


def test_a_fault_is_found_and_named(twin, capsys):
    start_driver(twin, write_eeprom=True)
    twin.command("register elbow_flex max_position_limit 7")
    twin.command("status 2 32")
    assert set(problems(twin, capsys)) == {"limits", "status"}


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("id wrist_flex 3", "id 3 answers what cannot be read: two servos"),
        ("missing wrist_flex", "wrist_flex: no servo has the id 4; there are: 1, 2, 3, 5, 6"),
    ],
)
def test_without_its_six_servos_nothing_else_is_asked(twin, capsys, fault, text):
    twin.command(fault)
    found = look(twin, capsys)
    assert list(found) == ["servos"] and not found["servos"]["is_fine"]
    assert text in found["servos"]["text"]
