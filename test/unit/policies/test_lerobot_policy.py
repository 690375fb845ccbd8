"""LeRobot's policies behind our interface: the contract, LeRobot's own numbers, checkpoints."""

import zlib
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from contracts.policy_contract import TrainablePolicyContract
from contracts.policy_factories import make_batch, make_observation

from so101.action import ChunkPrefix
from so101.data.exchange.lerobot_format import HOW_TO_INSTALL
from so101.errors import ConfigError, ObservationError
from so101.policies.checkpoints.canary import check_canary
from so101.policies.checkpoints.checkpoint import load_policy, read_spec, save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.policies.lerobot.options import OPTIONS_FILE
from so101.robot import JOINTS, to_lerobot

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("lerobot", "transformers", "diffusers")),
    reason=f"LeRobot and its policies are not installed: {HOW_TO_INSTALL}",
)
CAMERAS = ("wrist", "front")
KINDS = ("act", "diffusion", "smolvla", "pi0", "pi05", "pi0_fast")
FLOWS = ("smolvla", "pi0", "pi05")
SIZE = (64, 96)


@pytest.fixture(scope="module")
def tiny():
    """The factory of tiny policies, LeRobot's pi0 family in miniature as long as this runs."""
    import tiny_lerobot

    with tiny_lerobot.tiny_paligemma():
        yield tiny_lerobot


@pytest.fixture(scope="module")
def written(tiny, tmp_path_factory):
    """Checkpoints that LeRobot wrote, by kind, with LeRobot's own policy and processors."""
    made = {}

    def write(kind):
        if kind not in made:
            path, *own = tiny.write_checkpoint(kind, tmp_path_factory.mktemp(kind))
            (path / OPTIONS_FILE).write_text("rate_hz: 30\n")
            made[kind] = (path, *own)
        return made[kind]

    return write


@pytest.fixture(scope="module")
def hub(tiny, written):
    """Stand-in for the hub's repositories of tokenizers, which LeRobot hard-codes."""
    from so101.policies.lerobot import repositories as lerobot_repositories

    def read(self, name, part, load):
        path = written("pi0_fast")[0].parent
        folder = "action_tokenizer_repository" if part == "action_tokenizer" else None
        own = self._directory / lerobot_repositories.FOLDER / lerobot_repositories.folder_of(name)
        if own.is_dir() or not name.startswith("google/"):
            return original(self, name, part, load)
        return load(str(path / (folder or "tokenizer_repository")))

    original = lerobot_repositories.Repositories._read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lerobot_repositories.Repositories, "_read", read)
        yield


@pytest.fixture(scope="module")
def loaded(written, hub):
    """Policies of those checkpoints, by kind."""
    made = {}

    def load(kind):
        if kind not in made:
            made[kind] = load_policy(written(kind)[0], JOINTS, CAMERAS)
            made[kind].tune({"mode": "full"})
        return made[kind]

    return load


def observation_of(seed=0, **changes):
    rng = np.random.default_rng(seed)
    images = {camera: rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8) for camera in CAMERAS}
    seen = make_observation(cameras=CAMERAS, seed=seed)
    return replace(seen, images=images, velocities=np.full(6, 0.1), **changes)


@pytest.mark.parametrize("kind", KINDS)
class TestLeRobotPolicy(TrainablePolicyContract):
    """The contract of every policy."""

    @pytest.fixture
    def policy(self, loaded, kind):
        return loaded(kind)

    def disturb(self, policy):
        """Change every weight by its share: eighteen layers of a ResNet plus 0.1 overflow."""
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.mul_(1.02)

    @pytest.fixture
    def observation(self):
        return observation_of()

    @pytest.fixture
    def batch(self, policy):
        horizon = policy.spec.action_space.horizon
        made = make_batch(np.random.default_rng(1), rows=3, cameras=CAMERAS, horizon=horizon)
        seen = replace(made.observation, tasks=("pick up the cube",) * 3)
        return replace(made, observation=seen)


@pytest.mark.parametrize("kind", KINDS)
class TestLeRobotsOwnNumbers:
    """Our face before LeRobot's policy and LeRobot's policy alone plan the same."""

    @pytest.fixture
    def policy(self, loaded, kind):
        return loaded(kind)

    def test_a_chunk_is_lerobots_own_converted_by_hand(self, written, policy, kind):
        _, network, before, after = written(kind)
        seen = observation_of(3)
        noise = None
        if policy.noise_shape:
            draw = np.random.default_rng(5)
            noise = draw.standard_normal(policy.noise_shape, dtype=np.float32)
        chunk = policy.infer(seen, noise=noise).chunk.positions

        state = torch.from_numpy(to_lerobot(seen.positions).astype(np.float32))[None]
        images = {
            f"observation.images.{camera}": torch.from_numpy(seen.images[camera]).permute(2, 0, 1)
            for camera in CAMERAS
        }
        images = {name: image[None].float() / 255.0 for name, image in images.items()}
        if kind == "diffusion":
            earlier = to_lerobot(seen.positions - seen.velocities / 30.0).astype(np.float32)
            state = torch.stack([torch.from_numpy(earlier)[None], state], dim=1)
            images = {name: torch.stack([image] * 2, dim=1) for name, image in images.items()}
        batch = before({"observation.state": state, **images, "task": [seen.task]})
        options = {} if noise is None else {"noise": torch.from_numpy(noise)[None]}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(noise.tobytes()) if kind == "diffusion" else 0)
            values = after(network.predict_action_chunk(batch, **options))[0].double().numpy()
        by_hand = np.radians(values)
        by_hand[:, 5] = -0.174533 + values[:, 5] / 100.0 * (1.74533 + 0.174533)
        np.testing.assert_allclose(chunk[: len(by_hand)], by_hand, atol=1e-5)

    def test_its_own_checkpoint_needs_nothing_else(self, policy, kind, tiny, tmp_path, hub):
        record = TrainingRecord(algorithm="test")
        saved = save_checkpoint(tmp_path, "lerobot", policy, record)
        moved = tmp_path / "moved"
        saved.path.rename(moved)
        again = load_policy(moved, JOINTS, CAMERAS)
        assert again.spec == policy.spec == read_spec(moved)
        seen = observation_of(4)
        noise = np.full(policy.noise_shape, 0.3, dtype=np.float32)
        want, got = (one.infer(seen, noise=noise).chunk.positions for one in (policy, again))
        assert np.array_equal(want, got)

    def test_inference_leaves_the_training_mode_alone(self, policy, kind):
        policy.network.train()
        modes = [module.training for module in policy.network.modules()]
        policy.infer(observation_of())
        assert [module.training for module in policy.network.modules()] == modes
        policy.network.eval()

    def test_a_batch_plans_what_each_row_plans(self, policy, kind):
        seen = [observation_of(seed) for seed in range(3)]
        draw = np.random.default_rng(7)
        noise = draw.standard_normal((3, *policy.noise_shape), dtype=np.float32)
        together = policy.infer_batch(seen, noise)
        for i, one in enumerate(together):
            alone = policy.infer(seen[i], noise=noise[i] if policy.noise_shape else None)
            np.testing.assert_allclose(one.chunk.positions, alone.chunk.positions, atol=1e-3)

    def test_it_passes_the_canary(self, policy, kind):
        check_canary(policy)

    def test_an_answer_that_is_not_finite_is_refused(self, policy, kind, monkeypatch):
        def broken(batch, **_):
            points = torch.zeros(
                len(batch["observation.state"]), policy.spec.action_space.horizon, 6
            )
            points[0, 1, 2] = torch.nan
            return points

        monkeypatch.setattr(policy.network, "predict_action_chunk", broken)
        with pytest.raises(ObservationError, match="not finite"):
            policy.infer(observation_of())

    def test_it_has_no_indicator(self, policy, kind):
        with pytest.raises(ConfigError, match="indicator"):
            policy.infer(observation_of(), indicator=1)

    def test_every_camera_makes_a_difference(self, policy, kind):
        noise = np.zeros(policy.noise_shape, dtype=np.float32)
        seen = observation_of()
        usual = policy.infer(seen, noise=noise).native_action
        for camera in CAMERAS:
            dark = {**seen.images, camera: np.zeros_like(seen.images[camera])}
            other = policy.infer(replace(seen, images=dark), noise=noise).native_action
            assert not np.array_equal(usual, other), camera

    def test_noise_of_another_shape_is_refused(self, policy, kind):
        if policy.noise_shape:
            with pytest.raises(ObservationError, match="noise"):
                policy.infer(observation_of(), noise=np.zeros(3, dtype=np.float32))


@pytest.mark.parametrize("kind", FLOWS)
def test_a_wish_pulls_the_chunk_behind_what_is_decided(loaded, kind):
    """LeRobot's real-time chunking, which no other part of the policy gives."""
    policy, seen = loaded(kind), observation_of()
    noise = np.random.default_rng(2).standard_normal(policy.noise_shape, dtype=np.float32)
    free = policy.infer(seen, noise=noise).chunk.positions
    wish = np.tile(seen.positions, (12, 1)) + 0.05
    prefix = ChunkPrefix(positions=wish, decided=3)
    guided = policy.infer(seen, noise=noise, prefix=prefix).chunk.positions
    assert np.abs(guided[3:6] - wish[3:6]).mean() < 0.5 * np.abs(free[3:6] - wish[3:6]).mean()
    assert np.array_equal(policy.infer(seen, noise=noise).chunk.positions, free)


@pytest.mark.parametrize("kind", ["act", "diffusion", "pi0_fast"])
def test_without_guidance_only_what_is_decided_is_put_in_place(loaded, kind):
    policy, seen = loaded(kind), observation_of()
    noise = np.zeros(policy.noise_shape, dtype=np.float32)
    free = policy.infer(seen, noise=noise).chunk.positions
    wish = np.tile(seen.positions, (12, 1)) + 0.05
    kept = policy.infer(seen, noise=noise, prefix=ChunkPrefix(positions=wish, decided=3))
    assert np.array_equal(kept.chunk.positions[:3], wish[:3])
    assert np.array_equal(kept.chunk.positions[3:], free[3:])


@pytest.mark.parametrize("kind", ["smolvla", "pi0", "pi05"])
def test_an_absent_image_is_masked_and_not_seen(loaded, kind):
    policy, seen = loaded(kind), observation_of()
    noise = np.zeros(policy.noise_shape, dtype=np.float32)
    chunks = []
    for seed in (1, 2):
        other = observation_of(seed).images["front"]
        absent = replace(seen, images={**seen.images, "front": other}, missing={"front"})
        chunks.append(policy.infer(absent, noise=noise).chunk.positions)
    assert np.array_equal(*chunks)
    dark = replace(seen, images={**seen.images, "front": np.zeros_like(other)})
    assert not np.array_equal(chunks[0], policy.infer(dark, noise=noise).chunk.positions)


@pytest.mark.parametrize("kind", ["smolvla", "pi0", "pi05", "pi0_fast"])
def test_the_instruction_makes_a_difference(loaded, kind):
    policy = loaded(kind)
    noise = np.zeros(policy.noise_shape, dtype=np.float32)
    tasks = ("pick up the cube", "move left")
    chunks = [policy.infer(observation_of(task=t), noise=noise).native_action for t in tasks]
    assert not np.array_equal(*chunks)


def test_no_image_at_all_is_refused(loaded):
    with pytest.raises(ObservationError, match="no image of any camera: wrist, front"):
        loaded("pi0").infer(observation_of(missing=frozenset(CAMERAS)))


def test_an_answer_of_pi0_fast_that_is_no_chunk_is_refused(loaded, monkeypatch):
    policy = loaded("pi0_fast")
    monkeypatch.setattr(policy.network, "_paligemma_tokens_to_act_tokens", lambda tokens: -tokens)
    with pytest.raises(ObservationError, match="no chunk: action tokens"):
        policy.infer(observation_of())
    monkeypatch.undo()
    policy.infer(observation_of())
