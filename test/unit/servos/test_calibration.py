"""LeRobot's calibration: what a file may say, and that ticks and angles convert both ways."""

import json
import math

import numpy as np
import pytest
from factories import make_calibration
from hypothesis import given
from hypothesis import strategies as st

from so101.errors import ConfigError, HardwareError
from so101.robot import GRIPPER, JOINTS, so101, to_lerobot
from so101.servos.calibration import (
    LAST_TICK,
    calibration_from,
    read_calibration,
)

BODY = [joint for joint in JOINTS if joint not in ("gripper", "wrist_roll")]


def changed(joint="elbow_flex", **keys):
    values = make_calibration()
    values[joint] |= keys
    return values


@st.composite
def calibrations(draw):
    """A calibration whose every joint has another offset, range and servo."""
    ids = draw(st.permutations(range(1, 7)))
    values = {}
    for joint, servo in zip(JOINTS, ids, strict=True):
        low, high = draw(st.integers(16, 1400)), draw(st.integers(2700, 4000))
        offset = draw(st.integers(-2047, 2047))
        values[joint] = {"id": servo, "drive_mode": 0, "homing_offset": offset}
        values[joint] |= {"range_min": low, "range_max": high}
    return values


def is_readable(values):
    try:
        calibration_from(values, "here")
    except ConfigError:
        return False
    return True


readable = calibrations().filter(is_readable).map(lambda values: calibration_from(values, "here"))


class TestConversion:
    def test_by_hand(self):
        calibration = calibration_from(changed(range_min=1001, range_max=3002), "here")
        ticks = np.full(6, 2000)
        ticks[GRIPPER] = 1500
        found = calibration.to_rad(ticks)
        assert found[0] == 0.0  # the middle of 1000..3000
        assert found[2] == pytest.approx(-1.5 * 2 * math.pi / 4095)  # 2001.5 is its middle
        # A quarter of the way open, of -0.174533 to 1.74533 rad.
        assert found[GRIPPER] == pytest.approx(-0.174533 + 0.25 * 1.919863)
        assert calibration.to_rad(np.full(6, 3000))[1] == pytest.approx(
            1000 * 360 / 4095 * math.pi / 180
        )

    def test_lerobots_degrees_are_ours(self):
        """As LeRobot's bus normalises: degrees about the middle, the gripper in percent."""
        values = to_lerobot(calibration_from(make_calibration(), "here").to_rad(np.full(6, 2500)))
        assert values[:GRIPPER] == pytest.approx((2500 - (1000 + 3000) / 2) * 360 / 4095)
        assert values[GRIPPER] == pytest.approx((2500 - 1000) / (3000 - 1000) * 100)

    @given(readable, st.lists(st.integers(0, LAST_TICK), min_size=12, max_size=12))
    def test_every_tick_comes_back(self, calibration, ticks):
        ticks = np.array(ticks).reshape(2, 6)
        found = calibration.to_ticks(calibration.to_rad(ticks))
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, ticks)

    @given(readable, st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6))
    def test_every_angle_comes_back_to_half_a_tick(self, calibration, parts):
        low, high = calibration.lower, calibration.upper
        positions = low + np.array(parts) * (high - low)
        error = np.abs(calibration.to_rad(calibration.to_ticks(positions)) - positions)
        assert (error <= calibration.rad_per_tick / 2 + 1e-9).all()

    @given(readable)
    def test_the_grippers_range_is_the_urdfs_and_zero_the_others_middle(self, calibration):
        spec = so101()
        assert calibration.lower[GRIPPER] == pytest.approx(spec.lower[GRIPPER])
        assert calibration.upper[GRIPPER] == pytest.approx(spec.upper[GRIPPER])
        np.testing.assert_allclose(
            calibration.lower[:GRIPPER], -calibration.upper[:GRIPPER], atol=1e-12
        )
        np.testing.assert_allclose(calibration.half_range[:GRIPPER], calibration.upper[:GRIPPER])

    @pytest.mark.case(13)
    @pytest.mark.parametrize("position", [math.nan, math.inf, -math.inf, 1e300, 3.3])
    def test_what_is_no_position_is_refused_by_name(self, position):
        calibration = calibration_from(make_calibration(), "here")
        positions = np.zeros((3, 6))
        positions[1, 3] = position
        with pytest.raises(HardwareError, match="wrist_flex: no position of its servo"):
            calibration.to_ticks(positions)


class TestFile:
    def test_what_is_written_reads_back(self, tmp_path):
        path = tmp_path / "arm.json"
        before = calibration_from(changed(homing_offset=-1203), "here")
        path.write_text(before.to_text())
        after = read_calibration(path)
        assert after.joints == before.joints
        assert json.loads(path.read_text()) == changed(homing_offset=-1203)

    def test_the_digest_is_of_what_it_says(self, tmp_path):
        path = tmp_path / "arm.json"
        path.write_text(json.dumps(dict(reversed(make_calibration().items()))))
        digest = read_calibration(path).digest()
        assert digest == calibration_from(make_calibration(), "elsewhere").digest()
        assert digest != calibration_from(changed(range_min=1001), "here").digest()
        assert len(digest) == 64

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (changed(drive_mode=1), "elbow_flex: drive_mode 1 is outside 0..0"),
            (changed(range_max=1000), "elbow_flex: range_min 1000 is not below range_max 1000"),
            (
                changed(range_min=3000, range_max=1000),
                "range_min 3000 is not below range_max 1000",
            ),
            (changed(range_max=4096), "elbow_flex: range_max 4096 is outside 0..4095"),
            (changed(range_min=-1), "elbow_flex: range_min -1 is outside 0..4095"),
            (changed(range_min="a"), "elbow_flex: range_min: expected a whole number, got 'a'"),
            (changed(range_min=1000.0), "range_min: expected a whole number, got 1000.0"),
            (changed(id=True), "id: expected a whole number"),
            (changed(id=2), "elbow_flex: id 2 is that of shoulder_lift"),
            (changed(id=254), "elbow_flex: id 254 is outside 0..253"),
            (changed(homing_offset=2048), "homing_offset 2048 is outside -2047..2047"),
            (changed(velocity=3), "elbow_flex: expected the keys id, drive_mode"),
            ({**make_calibration(), "waist": {}}, "unknown waist"),
            ([], "not joints by name"),
        ],
    )
    def test_what_cannot_be_is_refused_with_file_joint_and_key(self, tmp_path, values, message):
        path = tmp_path / "arm.json"
        path.write_text(json.dumps(values))
        with pytest.raises(ConfigError, match=rf"arm\.json.*{message}"):
            read_calibration(path)

    @pytest.mark.parametrize("joint", JOINTS)
    def test_a_missing_joint_is_named(self, tmp_path, joint):
        values = make_calibration()
        del values[joint]
        with pytest.raises(ConfigError, match=f"missing {joint}"):
            calibration_from(values, "here")

    @pytest.mark.parametrize(
        "text", ["", "{", "null", '{"a": 1, "a": 2}', "[" * 100_000, "1" * 9000]
    )
    def test_what_is_no_json_object_is_refused_by_file(self, tmp_path, text):
        path = tmp_path / "arm.json"
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"arm\.json: no LeRobot calibration"):
            read_calibration(path)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(ConfigError, match=r"arm\.json: no LeRobot calibration.*No such file"):
            read_calibration(tmp_path / "arm.json")


class TestWrap:
    @pytest.mark.parametrize("joint", [*BODY, "gripper"])
    def test_a_whole_turn_is_a_jump_of_the_encoder(self, joint):
        with pytest.raises(ConfigError, match=f"{joint}: range_min 3 and range_max 4093"):
            calibration_from(changed(joint, range_min=3, range_max=4093), "here")

    def test_only_the_wrist_turns_all_the_way(self):
        values = changed("wrist_roll", range_min=0, range_max=LAST_TICK)
        calibration = calibration_from(values, "here")
        assert calibration.upper[JOINTS.index("wrist_roll")] == pytest.approx(math.pi)

    @pytest.mark.parametrize("joint", BODY)
    @pytest.mark.parametrize(("low", "high"), [(200, 1500), (2600, 3900)])
    def test_a_middle_near_the_wrap_is_refused(self, joint, low, high):
        with pytest.raises(ConfigError, match=f"{joint}: .* past the encoder's end"):
            calibration_from(changed(joint, range_min=low, range_max=high), "here")
