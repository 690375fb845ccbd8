"""A checkpoint that LeRobot wrote, from its directory to the arm; and what makes it unfit."""

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from contracts.policy_factories import make_observation
from safetensors.torch import load_file, save_file

from policy_node.loader import CheckpointLoader, Loaded, Refused
from policy_node.part import PartConfig
from so101.data.exchange.lerobot_format import HOW_TO_INSTALL
from so101.episode import Outcome
from so101.errors import CheckpointError, ConfigError
from so101.evaluation import EvaluationConfig, evaluate
from so101.policies.checkpoints.checkpoint import load_policy, read_spec
from so101.policies.checkpoints.copy import load_into
from so101.policies.checkpoints.files import verify
from so101.policies.lerobot.repositories import FOLDER, folder_of
from so101.robot import JOINTS

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("lerobot", "transformers", "peft")),
    reason=f"LeRobot and its policies are not installed: {HOW_TO_INSTALL}",
)
CAMERAS = ("wrist", "front")
OPTIONS = "rate_hz: 30\n"
PALIGEMMA = "google/paligemma-3b-pt-224"


@pytest.fixture(scope="module")
def tiny():
    """The factory of tiny policies, LeRobot's pi0 family in miniature as long as this runs."""
    torch.set_num_threads(1)
    import tiny_lerobot

    with tiny_lerobot.tiny_paligemma():
        yield tiny_lerobot


@pytest.fixture(scope="module")
def smolvla(tiny, tmp_path_factory):
    """Directory of a checkpoint that LeRobot wrote."""
    path, *_ = tiny.write_checkpoint("smolvla", tmp_path_factory.mktemp("smolvla"))
    (path / "so101.yaml").write_text(OPTIONS)
    return path


@pytest.fixture(scope="module")
def pi0(tiny, tmp_path_factory):
    """A checkpoint of three slots; its tokenizer, gated on the hub, lies beside its weights."""
    cameras = (*CAMERAS, "spare")
    path, *_ = tiny.write_checkpoint("pi0", tmp_path_factory.mktemp("pi0"), cameras=cameras)
    images = {camera: f"observation.images.{camera}" for camera in CAMERAS}
    (path / "so101.yaml").write_text(f"{OPTIONS}cameras: {json.dumps(images)}\n")
    tiny.write_tokenizer(path / FOLDER / folder_of(PALIGEMMA))
    return path


@pytest.fixture
def copied(smolvla, tmp_path):
    return shutil.copytree(smolvla, tmp_path / "copy")


def observation_of(seed=0, **changes):
    rng = np.random.default_rng(seed)
    images = {camera: rng.integers(0, 256, (64, 96, 3)).astype(np.uint8) for camera in CAMERAS}
    return replace(make_observation(cameras=CAMERAS, seed=seed), images=images, **changes)


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def chunk_of(policy, seed=0):
    noise = np.random.default_rng(seed).standard_normal(policy.noise_shape, dtype=np.float32)
    return policy.infer(observation_of(), noise=noise).chunk.positions


def acting(decision_ticks):
    return PartConfig(
        schedule="async", decision_ticks=decision_ticks, latency_ns=0, seed=0, hangs_after_s=60.0
    )


def test_it_drives_the_simulated_arm(smolvla):
    """The policy node's own loader takes it, canary included, and it acts through an episode."""
    loader = CheckpointLoader(CAMERAS, acting(decision_ticks=8), arrays=("noise",))
    loaded = loader.load(smolvla, None)
    assert isinstance(loaded, Loaded), loaded
    assert loaded.sha256 == verify(smolvla).sha256
    config = EvaluationConfig(episodes=1, camera_size=(64, 96))
    (trial,) = evaluate(loaded.policy, config, checkpoint=loaded.sha256).trials
    assert trial.outcome is not Outcome.DISCARDED
    assert trial.duration_s > 1.0


def test_another_decision_period_than_the_graphs_is_refused(smolvla):
    refused = CheckpointLoader(CAMERAS, acting(decision_ticks=4)).load(smolvla, None)
    assert isinstance(refused, Refused)
    assert "decides every 8 ticks, the graph every 4" in refused.problem


def test_it_becomes_one_of_ours(smolvla, tmp_path):
    """Taken into a store it can be trained on, and names where it came from."""
    taken = load_into(tmp_path, smolvla)
    assert taken.record.algorithm == "lerobot"
    assert taken.record.parent == verify(smolvla).sha256
    assert np.array_equal(
        chunk_of(load_policy(taken.path, JOINTS, CAMERAS)),
        chunk_of(load_policy(smolvla, JOINTS, CAMERAS)),
    )
    assert read_spec(taken.path) == read_spec(smolvla)


def test_lerobot_can_load_ours(smolvla, tmp_path):
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    taken = load_into(tmp_path, smolvla)
    theirs, ours = (
        SmolVLAPolicy.from_pretrained(path, strict=True) for path in (smolvla, taken.path)
    )
    for (name, tensor), other in zip(
        theirs.state_dict().items(), ours.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, other), name
    assert list(ours.config.image_features) == list(theirs.config.image_features)


def test_a_changed_file_of_ours_is_found(smolvla, tmp_path):
    taken = load_into(tmp_path, smolvla)
    (folder,) = (taken.path / FOLDER).iterdir()
    with (folder / "tokenizer.json").open("a") as file:
        file.write(" ")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: damaged"):
        load_policy(taken.path, JOINTS, CAMERAS)


def test_three_slots_and_two_cameras(pi0):
    """The third is pi0's empty camera; the chunk is LeRobot's own for two images."""
    policy = load_policy(pi0, JOINTS, CAMERAS)
    assert policy.spec.cameras == CAMERAS
    seen = []
    prepare = policy.network._preprocess_images

    def watch(batch):
        images, masks = prepare(batch)
        seen.append([bool(mask.all()) for mask in masks])
        return images, masks

    policy.network._preprocess_images = watch
    chunk_of(policy)
    assert seen == [[True, True, False]]


def test_a_tokenizer_that_cannot_be_had_is_named_with_the_places(pi0, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = shutil.copytree(pi0, tmp_path / "copy")
    shutil.rmtree(path / FOLDER)
    with pytest.raises(CheckpointError) as caught:
        load_policy(path, JOINTS, CAMERAS)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("its tokenizer", PALIGEMMA, str(path / FOLDER), "HF_HUB_OFFLINE"):
        assert part in message


def test_bfloat16_is_an_option(pi0, tmp_path):
    path = shutil.copytree(pi0, tmp_path / "copy")
    with (path / "so101.yaml").open("a") as file:
        file.write("dtype: bfloat16\n")
    policy = load_policy(path, JOINTS, CAMERAS)
    types = {weight.dtype for weight in policy.network.parameters()}
    assert torch.bfloat16 in types
    exact = chunk_of(load_policy(pi0, JOINTS, CAMERAS))
    np.testing.assert_allclose(chunk_of(policy), exact, atol=0.05)


def test_bfloat16_of_a_policy_that_has_none_is_refused(tiny, tmp_path):
    path, *_ = tiny.write_checkpoint("act", tmp_path)
    (path / "so101.yaml").write_text(OPTIONS + "dtype: bfloat16\n")
    with pytest.raises(ConfigError, match="act is float32 only"):
        load_policy(path, JOINTS, CAMERAS)


def test_an_adapter_is_merged_into_its_base(smolvla, tmp_path):
    """What LeRobot's training with LoRA leaves: an adapter that names its base."""
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
    from peft import LoraConfig, get_peft_model

    network = SmolVLAPolicy.from_pretrained(smolvla)
    targets = r"model\.vlm_with_expert\.lm_expert\..*\.(q|v)_proj"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        lora = LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
        model = get_peft_model(network, lora)
    path = tmp_path / "adapter"
    model.peft_config["default"].base_model_name_or_path = str(smolvla)
    model.save_pretrained(path)
    for file in smolvla.iterdir():
        if file.is_file() and file.name != "model.safetensors":
            shutil.copy(file, path / file.name)
    edit(path / "config.json", use_peft=True)
    policy = load_policy(path, JOINTS, CAMERAS)
    merged = policy.network.state_dict()
    for name, tensor in model.merge_and_unload().state_dict().items():
        torch.testing.assert_close(tensor, merged[name], msg=name)
    assert not np.allclose(chunk_of(policy), chunk_of(load_policy(smolvla, JOINTS, CAMERAS)))


class TestUnfit:
    """Whatever LeRobot itself would go on with is refused."""

    def refuse(self, path, message):
        with pytest.raises(CheckpointError, match=message):
            load_policy(path, JOINTS, CAMERAS)

    def weights(self, path):
        return load_file(path / "model.safetensors"), path / "model.safetensors"

    def test_a_missing_weight(self, copied):
        weights, file = self.weights(copied)
        del weights["model.state_proj.weight"]
        save_file(weights, file)
        self.refuse(copied, r"missing or unknown tensors: model\.state_proj\.weight")

    def test_an_unknown_weight(self, copied):
        weights, file = self.weights(copied)
        save_file({**weights, "model.extra": torch.zeros(1)}, file)
        self.refuse(copied, r"unknown tensors: model\.extra")

    def test_a_weight_of_another_shape(self, copied):
        weights, file = self.weights(copied)
        weights["model.state_proj.bias"] = torch.zeros(3)
        save_file(weights, file)
        self.refuse(copied, r"state_proj\.bias is torch.float32 of shape \(3,\)")

    def test_a_weight_that_is_not_finite(self, copied):
        weights, file = self.weights(copied)
        weights["model.state_proj.bias"][0] = torch.nan
        save_file(weights, file)
        self.refuse(copied, r"state_proj\.bias holds values that are not finite")

    def test_a_pickle_by_another_name(self, copied):
        torch.save({"weight": torch.zeros(1)}, copied / "model.safetensors")
        self.refuse(copied, r"model\.safetensors: cannot be read")

    def test_statistics_that_are_not_finite(self, copied):
        (file,) = copied.glob("policy_postprocessor_step_*.safetensors")
        stats = load_file(file)
        stats["action.mean"][2] = torch.inf
        save_file(stats, file)
        self.refuse(copied, r"action\.mean holds values that are not finite")

    def test_a_step_of_somebody_elses(self, copied):
        file = copied / "policy_preprocessor.json"
        steps = json.loads(file.read_text())["steps"]
        edit(file, steps=[*steps, {"class": "subprocess.Popen", "config": {"args": ["true"]}}])
        self.refuse(copied, r"policy_preprocessor\.json: step 'subprocess.Popen'")

    def test_absent_processors(self, copied):
        (copied / "policy_postprocessor.json").unlink()
        self.refuse(copied, r"policy_postprocessor\.json: missing")

    def test_an_option_of_a_step_that_is_not_one(self, copied):
        file = copied / "policy_postprocessor.json"
        steps = json.loads(file.read_text())["steps"]
        steps[0]["config"]["norm_map"] = {"ACTION": "MAGIC"}
        edit(file, steps=steps)
        self.refuse(copied, "MAGIC")

    def test_a_config_of_another_version(self, copied):
        edit(copied / "config.json", new_option=3)
        self.refuse(copied, r"config\.json: .*new_option")
