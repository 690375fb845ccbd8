"""What a LeRobot policy needs of other hub repositories: tokenizers and a VLM's config.

They are saved inside our checkpoints, one directory per repository, and looked for there first;
then it needs no hub. Code of a repository is never run: LeRobot asks for that in places, so its
modules get the loaders of this file while a policy is built.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from so101.errors import CheckpointError
from so101.policies.lerobot.fast import NUMBERS_FILE, TOKENIZER_FILE, FastTokenizer
from so101.policies.lerobot.files import fetch, hub_problem

FOLDER = "repositories"
_STEPS = "lerobot.processor.tokenizer_processor"
_VLM = "lerobot.policies.smolvla.smolvlm_with_expert"
_FAST = "lerobot.policies.pi0_fast.modeling_pi0_fast"
MODULES = {
    "smolvla": (_STEPS, _VLM),
    "pi0": (_STEPS,),
    "pi05": (_STEPS,),
    "pi0_fast": (_STEPS, _FAST),
}
"""Kind to LeRobot's modules that fetch from the hub."""


class Repositories:
    """Loads what a policy needs of other repositories, each part once.

    Attributes:
        loaded: Repository and part to what was loaded.
    """

    def __init__(self, directory: Path) -> None:
        """Look for copies in a checkpoint's directory first."""
        self._directory = directory
        self.loaded: dict[tuple[str, str], Any] = {}

    def part(self, name: str, part: str, read: Callable[[str], Any]) -> Any:
        """Return a part of a repository, such as its tokenizer.

        Raises:
            CheckpointError: It cannot be had; the message says where it was looked for.
        """
        if (name, part) not in self.loaded:
            self.loaded[name, part] = self._read(name, part, read)
        return self.loaded[name, part]

    def write(self, directory: Path) -> None:
        """Save everything that was loaded into a checkpoint's directory."""
        for (name, _), loaded in self.loaded.items():
            target = directory / FOLDER / folder_of(name)
            target.mkdir(parents=True, exist_ok=True)
            if isinstance(loaded, FastTokenizer):
                loaded.write(target)
            else:
                loaded.save_pretrained(target)

    @contextmanager
    def serving(self, kind: str) -> Iterator[None]:
        """Let LeRobot load through here while it builds a policy of a kind or its processors."""
        with ExitStack() as stack:
            for module in (importlib.import_module(name) for name in MODULES.get(kind, ())):
                for loader, serve in self._loaders(module.__name__).items():
                    stack.enter_context(_replaced(module, loader, _Loader(serve)))
            yield

    def _loaders(self, module: str) -> dict[str, Callable[..., Any]]:
        if module == _VLM:
            return {"AutoConfig": self._config, "AutoProcessor": self._processor}
        return {"AutoTokenizer": self._tokenizer, "AutoProcessor": self._action_tokenizer}

    def _config(self, name: str, **_: Any) -> Any:
        from transformers import AutoConfig

        return self.part(name, "config", _without_code(AutoConfig))

    def _processor(self, name: str, **_: Any) -> Any:
        from transformers import AutoProcessor

        return self.part(name, "processor", _without_code(AutoProcessor))

    def _tokenizer(self, name: str, **options: Any) -> Any:
        from transformers import AutoTokenizer

        plain = self.part(name, "tokenizer", _without_code(AutoTokenizer))
        options.pop("trust_remote_code", None)
        if not options:
            return plain
        return _without_code(AutoTokenizer)(str(plain.name_or_path), **options)

    def _action_tokenizer(self, name: str, **_: Any) -> FastTokenizer:
        def read(where: str) -> FastTokenizer:
            path = Path(where)
            files = (TOKENIZER_FILE, NUMBERS_FILE)
            return FastTokenizer.read(path if path.is_dir() else fetch(where, files))

        loaded: FastTokenizer = self.part(name, "action_tokenizer", read)
        return loaded

    def _read(self, name: str, part: str, read: Callable[[str], Any]) -> Any:
        copy = self._directory / FOLDER / folder_of(name)
        try:
            return read(str(copy) if copy.is_dir() else name)
        except CheckpointError:
            raise
        except Exception as error:  # transformers and the hub raise a dozen kinds
            from huggingface_hub import constants

            problem = hub_problem(name, constants.HF_HUB_CACHE, error)
            message = f"{self._directory}: its {part} is not in {copy}; {problem}"
            raise CheckpointError(message) from error


def folder_of(name: str) -> str:
    """Return the folder's name for a repository: ``owner--name``, or a directory's own."""
    path = Path(name)
    return path.name if path.is_absolute() else "--".join(path.parts)


class _Loader:
    """Stands where LeRobot looks for one of transformers' Auto classes."""

    def __init__(self, serve: Callable[..., Any]) -> None:
        self.from_pretrained = serve


def _without_code(auto: Any) -> Callable[..., Any]:
    def read(name: str, **options: Any) -> Any:
        return auto.from_pretrained(name, trust_remote_code=False, **options)

    return read


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
