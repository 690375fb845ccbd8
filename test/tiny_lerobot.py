"""LeRobot policies small enough for a unit test: random weights, no network, no downloads.

ACT, Diffusion and SmolVLA shrink through their configs. The pi0 family hard-codes its networks:
`tiny_paligemma` makes LeRobot build them small as long as it is active, also when a checkpoint is
read back.
"""

import importlib
import json
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
import torch

KINDS = ("act", "diffusion", "smolvla", "pi0", "pi05", "pi0_fast")
PI_KINDS = ("pi0", "pi05", "pi0_fast")
CAMERAS = ("wrist", "front")
IMAGE_SIZE = (64, 96)
HORIZON = 16
PI_IMAGE = 28
WORDS = (
    *("Task", "State", "Action", "pick", "up", "the", "cube", "move", "left", "right"),
    *("<image>", "<end_of_utterance>", "<fake_token_around_image>", "<global-img>"),
    *("<row_1_col_1>", ",", ".", ":", ";", "|"),
)
VOCABULARY = 4 + len(WORDS) + 257


def write_tokenizer(directory):
    """Write a word-level tokenizer of some words and the numbers to 255."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    vocabulary = [*special, *WORDS, *(str(number) for number in range(-1, 256))]
    words = {word: i for i, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=[word for word in WORDS if word.startswith("<")],
        extra_special_tokens={
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<end_of_utterance>",
        },
    )
    fast.save_pretrained(directory)
    return directory


def write_vlm(directory):
    """Write config and processor of a tiny SmolVLM, as its hub repository holds them."""
    from transformers import (
        PreTrainedTokenizerFast,
        SmolVLMConfig,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    write_tokenizer(directory)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(directory)
    config = SmolVLMConfig(
        text_config={
            "model_type": "llama",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "vocab_size": len(tokenizer),
            "pad_token_id": 0,
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
        },
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=0,
    )
    SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(),
        image_seq_len=4,
    ).save_pretrained(directory)
    config.save_pretrained(directory)
    return directory


def write_action_tokenizer(directory):
    """Write a FAST action tokenizer, in the files of its hub repository, without its code."""
    from tokenizers import Tokenizer, decoders, models

    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE({chr(i): i for i in range(VOCABULARY)}, []))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(directory / "tokenizer.json"))
    values = {"scale": 100, "vocab_size": VOCABULARY, "min_token": -VOCABULARY // 2}
    values |= {"action_dim": 6, "time_horizon": HORIZON, "processor_class": "Unknown"}
    (directory / "processor_config.json").write_text(json.dumps(values))
    return directory


def _gemma(size):
    def config(variant):
        module = importlib.import_module("lerobot.policies.pi0.modeling_pi0")
        return module.GemmaConfig(
            width=size, depth=2, mlp_dim=2 * size, num_heads=8, num_kv_heads=1, head_dim=8
        )

    return config


def _small_paligemma(real, vocabulary):
    def build(config):
        text, vision = config.text_config, config.vision_config
        text.vocab_size = config._vocab_size = config.image_token_index = vocabulary
        vision.hidden_size, vision.intermediate_size, vision.num_attention_heads = 16, 32, 2
        vision.num_hidden_layers, vision.patch_size, vision.image_size = 2, 14, PI_IMAGE
        vision.projection_dim = config.projection_dim = text.hidden_size
        return real(config)

    return build


def _small_expert(real, vocabulary):
    def build(config):
        config.vocab_size = vocabulary
        return real(config)

    return build


@contextmanager
def tiny_paligemma(vocabulary=VOCABULARY):
    """Let LeRobot build every network of the pi0 family in miniature."""
    with ExitStack() as stack:
        for kind in PI_KINDS:
            module = importlib.import_module(f"lerobot.policies.{kind}.modeling_{kind}")
            changes = {"get_gemma_config": _gemma(64)}
            name = "PaliGemmaForConditionalGenerationWithPiGemma"
            changes[name] = _small_paligemma(getattr(module, name), vocabulary)
            if kind != "pi0_fast":
                real = module.PiGemmaForCausalLM
                changes["PiGemmaForCausalLM"] = _small_expert(real, vocabulary)
            for name, change in changes.items():
                stack.enter_context(mock.patch.object(module, name, change))
        yield


def features(cameras=CAMERAS, image_size=IMAGE_SIZE):
    """Return LeRobot's description of inputs and outputs of an SO-101 policy."""
    from lerobot.configs import FeatureType, PolicyFeature

    inputs = {"observation.state": PolicyFeature(type=FeatureType.STATE, shape=(6,))}
    for camera in cameras:
        shape = (3, *image_size)
        inputs[f"observation.images.{camera}"] = PolicyFeature(FeatureType.VISUAL, shape)
    return inputs, {"action": PolicyFeature(type=FeatureType.ACTION, shape=(6,))}


def tiny_config(kind, directory, *, cameras=CAMERAS, image_size=IMAGE_SIZE, **changes):
    """Return the config of a tiny policy; tokenizers it needs are written to ``directory``."""
    from lerobot.policies.factory import make_policy_config

    inputs, outputs = features(cameras, image_size)
    common = {"input_features": inputs, "output_features": outputs, "device": "cpu"}
    common["push_to_hub"] = False
    flow = {"chunk_size": HORIZON, "n_action_steps": 8, "max_state_dim": 8, "max_action_dim": 8}
    pi = {**flow, "image_resolution": (PI_IMAGE, PI_IMAGE), "tokenizer_max_length": 32}
    own = {
        "act": {
            "chunk_size": HORIZON,
            "n_action_steps": 8,
            "dim_model": 32,
            "n_heads": 2,
            "dim_feedforward": 64,
            "n_encoder_layers": 1,
            "n_vae_encoder_layers": 1,
            "latent_dim": 8,
            "pretrained_backbone_weights": None,
        },
        "diffusion": {
            "horizon": HORIZON,
            "n_action_steps": 8,
            "crop_shape": None,
            "down_dims": (16, 32),
            "diffusion_step_embed_dim": 16,
            "spatial_softmax_num_keypoints": 8,
            "num_inference_steps": 5,
            "pretrained_backbone_weights": None,
        },
        "smolvla": {
            **flow,
            "load_vlm_weights": False,
            "num_vlm_layers": 2,
            "resize_imgs_with_padding": (64, 64),
            "num_steps": 5,
            "tokenizer_max_length": 16,
        },
        "pi0": {**pi, "num_inference_steps": 5, "dtype": "float32"},
        "pi05": {**pi, "num_inference_steps": 5, "dtype": "float32"},
        "pi0_fast": {
            **pi,
            "n_action_steps": HORIZON,
            "dtype": "float32",
            "max_decoding_steps": 8,
            "max_action_tokens": 128,
            "fast_skip_tokens": 0,
            "validate_action_token_prefix": False,
        },
    }[kind]
    if kind == "smolvla":
        own["vlm_model_name"] = str(write_vlm(directory / "vlm_repository"))
    if kind == "pi0_fast":
        own["text_tokenizer_name"] = str(write_tokenizer(directory / "tokenizer_repository"))
        fast = write_action_tokenizer(directory / "action_tokenizer_repository")
        own["action_tokenizer_name"] = str(fast)
    return make_policy_config(kind, **common, **own, **changes)


def stats(scale_deg=60.0):
    """Return dataset statistics of degrees, the gripper 0..100, that differ by joint."""
    wide = np.array([scale_deg] * 5 + [100.0], dtype=np.float32)
    low = np.array([-110.0, *([-scale_deg] * 4), 0.0], dtype=np.float32)
    mean = np.array([3.0, -20.0, 15.0, 40.0, -5.0, 30.0], dtype=np.float32)
    std = np.array([12.0, 9.0, 10.0, 8.0, 11.0, 7.0], dtype=np.float32)
    joints = {"mean": mean, "std": std, "min": low, "max": wide}
    joints |= {"q01": mean - 1.5 * std, "q99": mean + 1.5 * std}
    tensors = {name: torch.tensor(value) for name, value in joints.items()}
    grey = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    grey |= {"min": torch.zeros(3, 1, 1), "max": torch.ones(3, 1, 1)}
    images = {f"observation.images.{camera}": dict(grey) for camera in CAMERAS}
    return {"observation.state": dict(tensors), "action": dict(tensors), **images}


def fast_tokenizer(directory):
    """Stand-in for the hub's FAST processor where LeRobot itself is to load it."""
    from so101.policies.lerobot.fast import FastTokenizer

    return FastTokenizer.read(directory)


@contextmanager
def own_tokenizers(config, directory):
    """Let LeRobot find local tokenizers under the names that it hard-codes."""
    from transformers import AutoTokenizer

    steps = importlib.import_module("lerobot.processor.tokenizer_processor")
    fast = importlib.import_module("lerobot.policies.pi0_fast.modeling_pi0_fast")
    local = directory / "tokenizer_repository"

    class Tokenizers:
        @staticmethod
        def from_pretrained(name, **_):
            is_local = str(name).startswith(str(directory))
            path = name if is_local else write_tokenizer(local)
            return AutoTokenizer.from_pretrained(path)

    class Processors:
        @staticmethod
        def from_pretrained(name, **_):
            return fast_tokenizer(directory / "action_tokenizer_repository")

    with ExitStack() as stack:
        for module in (steps, fast):
            stack.enter_context(mock.patch.object(module, "AutoTokenizer", Tokenizers))
            stack.enter_context(mock.patch.object(module, "AutoProcessor", Processors))
        yield


def tiny_policy(kind, directory, *, seed=0, **changes):
    """Return a tiny random LeRobot policy in evaluation mode."""
    from lerobot.policies.factory import get_policy_class

    config = tiny_config(kind, directory, **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with tiny_paligemma(), own_tokenizers(config, directory):
            policy = get_policy_class(kind)(config)
            _fill(policy)
    return policy.eval()


def tiny_processors(policy, directory, dataset_stats=None):
    """Return LeRobot's own pre- and post-processor of a tiny policy."""
    from lerobot.policies.factory import make_pre_post_processors

    with own_tokenizers(policy.config, directory):
        return make_pre_post_processors(
            policy.config, dataset_stats=stats() if dataset_stats is None else dataset_stats
        )


def write_checkpoint(kind, directory, *, dataset_stats=None, **changes):
    """Write a checkpoint as LeRobot's training does; tokenizers lie beside it.

    Returns:
        The directory with config.json, and LeRobot's policy and processors themselves.
    """
    policy = tiny_policy(kind, directory, **changes)
    pre, post = tiny_processors(policy, directory, dataset_stats)
    path = directory / "pretrained_model"
    policy.save_pretrained(path)
    pre.save_pretrained(path)
    post.save_pretrained(path)
    return path, policy, pre, post


def _fill(policy):
    """Draw weights that LeRobot leaves unset, so that every weight has an effect, a small one."""
    for name, parameter in policy.named_parameters():
        if not torch.isfinite(parameter).all() or not parameter.any():
            torch.nn.init.normal_(parameter.data, std=0.02)
        if "action_out_proj" in name:
            parameter.data.mul_(0.05)
