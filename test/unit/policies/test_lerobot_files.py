"""LeRobot's checkpoints on disk, without LeRobot: found, checked, described, or refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import make_calibration
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from so101.data.exchange.lerobot_values import Units
from so101.errors import CheckpointError, ConfigError, So101Error
from so101.policies import lerobot_files, lerobot_network
from so101.policies.checkpoint import load_policy, read_spec
from so101.policies.checkpoint_copy import find_checkpoint
from so101.policies.checkpoint_files import verify
from so101.policies.lerobot_files import is_lerobot, locate
from so101.policies.lerobot_processors import check_steps
from so101.policies.lerobot_spec import empty_slots, make_spec, outline, read_outline
from so101.policies.lerobot_units import find_units, units_from_json, units_to_json
from so101.robot import CAMERAS, JOINTS

FEATURES = ("observation.images.wrist", "observation.images.front")


def config_of(kind="act", *, images=FEATURES, size=(48, 64), **changes):
    shape = [3, *size]
    inputs = {"observation.state": {"type": "STATE", "shape": [6]}}
    inputs |= {name: {"type": "VISUAL", "shape": shape} for name in images}
    steps = {"n_obs_steps": 1, "n_action_steps": 8, "chunk_size": 16}
    if kind == "diffusion":
        steps = {"n_obs_steps": 2, "n_action_steps": 8, "horizon": 16}
    outputs = {"action": {"type": "ACTION", "shape": [6]}}
    return {"type": kind, **steps, "input_features": inputs, "output_features": outputs, **changes}


def write(path, *, largest=120.0, gripper=(0.0, 100.0), config=None, options="rate_hz: 30\n"):
    """Write a checkpoint of files only; its weights are no network's."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config or config_of()))
    save_file({"weight": torch.zeros(2)}, path / "model.safetensors")
    step = {"registry_name": "normalizer_processor", "config": {}, "state_file": "n.safetensors"}
    (path / "policy_preprocessor.json").write_text(json.dumps({"name": "x", "steps": [step]}))
    (path / "policy_postprocessor.json").write_text(json.dumps({"name": "y", "steps": []}))
    ends = {
        "min": torch.tensor([-1.0] * 5 + [gripper[0]]),
        "max": torch.tensor([1.5] * 4 + [largest, gripper[1]]),
    }
    columns = ("observation.state", "action")
    stats = {f"{c}.{end}": value.clone() for c in columns for end, value in ends.items()}
    save_file(stats, path / "n.safetensors")
    if options:
        (path / "so101.yaml").write_text(options)
    return path


def spec_of(path):
    return make_spec(read_outline(locate(path).directory), locate(path))


@pytest.fixture
def calibration(tmp_path):
    file = tmp_path / "arm.json"
    file.write_text(json.dumps(make_calibration(range_min=1024, range_max=3071)))
    return file


class TestUnits:
    def test_degrees_by_hand(self):
        """45 degrees is pi/4; the gripper goes from -0.174533 to 1.74533 rad."""
        values = np.array([45.0, -90.0, 30.0, 60.0, -180.0, 25.0])
        want = [0.785398, -1.570796, 0.523599, 1.047198, -3.141593, 0.305433]
        np.testing.assert_allclose(Units().to_rad(values), want, atol=1e-6)
        np.testing.assert_allclose(Units().from_rad(np.array(want)), values, atol=1e-4)

    def test_parts_of_a_range_by_hand(self, calibration, tmp_path):
        """2047 of 4095 ticks per turn: half of it is 1.570413 rad, which is 100."""
        options = "rate_hz: 30\nunits: m100_100\ncalibration: ../arm.json\n"
        path = write(tmp_path / "policy", largest=99.0, options=options)
        units = find_units(locate(path), is_relative=False)
        values = np.array([100.0, -50.0, 0.0, 10.0, -100.0, 50.0])
        want = [1.570413, -0.785206, 0.0, 0.157041, -1.570413, 0.785399]
        np.testing.assert_allclose(units.to_rad(values), want, atol=1e-6)
        np.testing.assert_allclose(units.from_rad(np.array(want)), values, atol=1e-4)

    @given(
        st.lists(st.floats(-3.0, 3.0), min_size=6, max_size=6),
        st.one_of(st.none(), st.lists(st.floats(0.1, 3.1), min_size=6, max_size=6)),
    )
    def test_conversions_are_inverse(self, positions, half_range):
        units = Units(half_range=None if half_range is None else np.array(half_range))
        again = units.to_rad(units.from_rad(np.array(positions)))
        np.testing.assert_allclose(again, positions, atol=1e-9)

    @pytest.mark.parametrize("half_range", [None, np.linspace(0.5, 3.0, 6)])
    def test_they_survive_json(self, half_range):
        values = units_to_json(Units(half_range=half_range))
        again = units_from_json(values["units"], tuple(values.get("half_range", ())), "here")
        pose = np.linspace(-1.0, 1.0, 6)
        np.testing.assert_array_equal(
            again.from_rad(pose), Units(half_range=half_range).from_rad(pose)
        )

    def test_beyond_100_they_are_degrees(self, tmp_path):
        units = find_units(locate(write(tmp_path, largest=120.0)), is_relative=False)
        assert units.half_range is None

    def test_within_100_somebody_has_to_say(self, tmp_path):
        path = write(tmp_path, largest=90.0)
        with pytest.raises(CheckpointError, match=r"up to 90\.0: degrees or .*so101\.yaml"):
            find_units(locate(path), is_relative=False)
        (path / "so101.yaml").write_text("rate_hz: 30\nunits: degrees\n")
        assert find_units(locate(path), is_relative=False).half_range is None

    def test_without_statistics_somebody_has_to_say(self, tmp_path):
        path = write(tmp_path)
        save_file({"other": torch.zeros(1)}, path / "n.safetensors")
        with pytest.raises(CheckpointError, match="has no statistics"):
            find_units(locate(path), is_relative=False)

    def test_a_contradiction_is_refused(self, calibration, tmp_path):
        options = f"rate_hz: 30\nunits: m100_100\ncalibration: {calibration}\n"
        path = write(tmp_path / "policy", largest=120.0, options=options)
        with pytest.raises(CheckpointError, match=r"m100_100, but .* 120\.0: these are degrees"):
            find_units(locate(path), is_relative=False)

    @pytest.mark.parametrize(
        "options", ["units: m100_100\n", "units: degrees\ncalibration: arm.json\n"]
    )
    def test_a_calibration_belongs_to_parts_of_a_range(self, tmp_path, options):
        path = write(tmp_path, largest=90.0, options=options)
        with pytest.raises(ConfigError, match="belong together"):
            find_units(locate(path), is_relative=False)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"largest": 1.9, "gripper": (0.0, 1.7)}, "radians"),
            ({"gripper": (-10.0, 100.0)}, "gripper .* from -10.0"),
            ({"gripper": (0.0, 140.0)}, "gripper .* to 140.0"),
            ({"largest": float("inf")}, "not finite"),
        ],
    )
    def test_statistics_of_other_units_are_refused(self, tmp_path, changes, message):
        with pytest.raises(CheckpointError, match=message):
            find_units(locate(write(tmp_path, **changes)), is_relative=False)


class TestSpec:
    def test_it_is_read_without_lerobot(self, tmp_path):
        spec = read_spec(write(tmp_path))
        space = spec.action_space
        assert (space.rate_hz, space.horizon, space.execute_steps) == (30, 16, 8)
        assert spec.camera_names == dict(zip(("wrist", "front"), FEATURES, strict=True))
        assert spec.image_size == (48, 64)

    def test_diffusion_hands_out_what_lies_ahead(self, tmp_path):
        path = write(tmp_path, config=config_of("diffusion"))
        assert spec_of(path).action_space.horizon == 15

    def test_the_rate_is_asked_for(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"how many Hz .*so101\.yaml"):
            spec_of(write(tmp_path, options=""))

    def test_the_rate_is_that_of_the_dataset_at_hand(self, tmp_path):
        path = write(tmp_path / "policy", options="")
        meta = tmp_path / "dataset" / "meta"
        train = {"dataset": {"repo_id": "a/b", "root": str(tmp_path / "dataset")}}
        (path / "train_config.json").write_text(json.dumps(train))
        with pytest.raises(CheckpointError, match="not at hand"):
            spec_of(path)
        meta.mkdir(parents=True)
        (meta / "info.json").write_text('{"fps": 15}')
        assert spec_of(path).action_space.rate_hz == 15

    def test_a_rate_off_the_grid_is_refused_and_not_resampled(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"50 Hz, .* not resampled"):
            spec_of(write(tmp_path, options="rate_hz: 50\n"))

    def test_cameras_are_mapped(self, tmp_path):
        names = [f"observation.images.{name}" for name in ("top", "hand")]
        options = "rate_hz: 30\ncameras: {front: top, wrist: observation.images.hand}\n"
        path = write(tmp_path, config=config_of(images=names), options=options)
        assert spec_of(path).camera_names == {"front": names[0], "wrist": names[1]}

    def test_a_camera_that_the_robot_lacks_is_named_with_the_remedy(self, tmp_path):
        path = write(tmp_path, config=config_of(images=["observation.images.top"]))
        with pytest.raises(CheckpointError, match=r"needs cameras top; .*map them by cameras in"):
            load_policy(path, JOINTS, CAMERAS)

    @pytest.mark.parametrize(
        ("kind", "cameras", "message"),
        [
            ("act", "{front: observation.images.top}", "images.top; the policy looks at"),
            ("act", "{front: front}", "no camera for observation.images.wrist"),
            ("pi0", "{front: front, wrist: front}", "a feature twice"),
        ],
    )
    def test_a_wrong_map_is_refused(self, tmp_path, kind, cameras, message):
        options = f"rate_hz: 30\ncameras: {cameras}\n"
        with pytest.raises(CheckpointError, match=message):
            spec_of(write(tmp_path, config=config_of(kind), options=options))

    def test_a_third_slot_stays_empty(self, tmp_path):
        config = config_of("pi0", images=[*FEATURES, "observation.images.empty_camera_0"])
        path = write(tmp_path, config=config)
        assert spec_of(path).cameras == ("wrist", "front")
        assert empty_slots(read_outline(path), spec_of(path)) == [
            "observation.images.empty_camera_0"
        ]

    def test_a_square_slot_gets_the_cameras_own_aspect(self, tmp_path):
        path = write(tmp_path, config=config_of("pi0", size=(224, 224)))
        assert spec_of(path).image_size == (168, 224)

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            (config_of("vqbet"), "'vqbet' is not one of act"),
            (config_of("groot"), "code of the hub, which never runs"),
            (
                config_of(output_features={"action": {"type": "ACTION", "shape": [32]}}),
                "base model",
            ),
            (config_of(input_features={}), "no observation.state"),
            (config_of(n_obs_steps=2), "n_obs_steps=2"),
            ({"type": "act"}, "no config"),
        ],
    )
    def test_what_is_none_for_this_arm_is_refused(self, config, message):
        with pytest.raises(CheckpointError, match=message):
            outline(config, "config.json")


class TestFiles:
    def test_it_is_told_from_our_own(self, tmp_path):
        path = write(tmp_path / "outputs" / "pretrained_model")
        assert is_lerobot(path)
        assert is_lerobot(path.parent)
        assert locate(path.parent).directory == path
        (path.parent / "policy.json").write_text("{}")
        assert not is_lerobot(path.parent)
        assert not is_lerobot(tmp_path / "nothing" / "here" / "at all")

    def test_the_last_checkpoint_of_a_run_is_found(self, tmp_path):
        write(tmp_path / "checkpoints" / "000100" / "pretrained_model")
        (tmp_path / "checkpoints" / "last").symlink_to("000100")
        assert find_checkpoint(tmp_path) == tmp_path
        assert verify(tmp_path).record.algorithm == "lerobot"

    def test_an_options_file_names_it(self, tmp_path):
        write(tmp_path / "policy", options="")
        file = tmp_path / "mine.yaml"
        file.write_text("checkpoint: policy\nrate_hz: 15\nexecute_steps: 4\n")
        assert spec_of(file).action_space.decision_ticks == 8
        file.write_text("checkpoint: policy\nrate: 15\n")
        with pytest.raises(ConfigError, match=r"mine\.yaml: unknown key 'rate'.*rate_hz"):
            spec_of(file)
        file.write_text("rate_hz: 15\n")
        with pytest.raises(ConfigError, match="says no checkpoint"):
            spec_of(file)

    def test_every_byte_counts(self, tmp_path):
        path = write(tmp_path)
        before = {verify(path).sha256}
        for file in sorted(path.iterdir()):
            original = file.read_bytes()
            file.write_bytes(original + b"\n")
            before.add(verify(path).sha256)
            file.write_bytes(original)
        assert len(before) == 1 + len(list(path.iterdir()))

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "x.pkl", "code.py", "a/b.PT"])
    def test_what_could_execute_is_refused(self, tmp_path, name):
        file = write(tmp_path) / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
        with pytest.raises(CheckpointError, match=f"{file.name}: .*only safetensors"):
            verify(tmp_path)

    @pytest.mark.parametrize("target", ["/etc/hostname", "config.json", "missing"])
    def test_a_link_is_refused(self, tmp_path, target):
        (write(tmp_path) / "extra.json").symlink_to(target)
        with pytest.raises(CheckpointError, match=r"extra\.json: is a link"):
            verify(tmp_path)

    def test_links_of_the_hubs_cache_are_its_files(self, tmp_path):
        blobs = write(tmp_path / "models--a--b" / "blobs")
        snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
        snapshot.mkdir(parents=True)
        for file in blobs.iterdir():
            (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
        assert len(lerobot_files.check_files(snapshot)) == len(list(blobs.iterdir()))
        assert spec_of(snapshot).action_space.horizon == 16
        (snapshot / "other.json").symlink_to(tmp_path / "elsewhere.json")
        with pytest.raises(CheckpointError, match="is a link"):
            lerobot_files.check_files(snapshot)

    def test_without_safetensors_there_are_no_weights(self, tmp_path):
        (write(tmp_path) / "model.safetensors").unlink()
        with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
            verify(tmp_path)

    @pytest.mark.parametrize(
        ("step", "message"),
        [
            ({"class": "os.system"}, "'os.system' is not one"),
            ({"registry_name": "reward_classifier_processor"}, "reward_classifier"),
            ({"registry_name": ["x"]}, "is not one"),
            ({"registry_name": "device_processor", "config": 3}, "no mapping"),
            (
                {"registry_name": "normalizer_processor", "state_file": "../x.safetensors"},
                "state_file",
            ),
            ({"registry_name": "normalizer_processor", "state_file": "x.pt"}, "state_file"),
        ],
    )
    def test_unknown_steps_are_refused(self, step, message):
        with pytest.raises(CheckpointError, match=message):
            check_steps({"steps": [step]}, "here")

    def test_steps_must_be_a_list(self):
        with pytest.raises(CheckpointError, match="no list of steps"):
            check_steps({"steps": "x"}, "here")


class TestWhatIsMissing:
    def test_an_old_python_is_named(self, monkeypatch):
        monkeypatch.setattr(lerobot_network.sys, "version_info", (3, 11, 9))
        with pytest.raises(ConfigError, match=r"Python 3\.12 or later.*make lerobot"):
            lerobot_network.check_python()

    def test_an_absent_package_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setattr(lerobot_network, "check_python", lambda: None)
        monkeypatch.setitem(lerobot_network.PACKAGES, "act", ("no_such_package",))
        with pytest.raises(ConfigError, match=r"no_such_package.*make lerobot"):
            load_policy(write(tmp_path), JOINTS, CAMERAS)

    def test_nothing_there_is_neither_a_directory_nor_of_the_hub(self, tmp_path, monkeypatch):
        pytest.importorskip("huggingface_hub")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(So101Error, match=r"someone/something: not a directory.*OFFLINE"):
            verify(Path("someone/something"))

    def test_a_gated_repository_says_what_to_do(self, monkeypatch):
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        said = lerobot_files.hub_problem("google/x", "/cache", OSError("401: gated repo\nmore"))
        assert "accept its terms at huggingface.co/google/x" in said
        assert "/cache" in said
        assert "\n" not in said

    def test_a_flow_policy_never_imports_lerobot(self):
        code = "import sys, so101.policies.checkpoint, so101.policies.policy_table as t;"
        code += "t.policy_class('flow'); print([m for m in sys.modules if 'lerobot' == m[:7]])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == "[]", done.stderr

    def test_files_are_described_without_torch(self):
        code = "import sys, so101.policies.checkpoint_files; print('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == "False", done.stderr
