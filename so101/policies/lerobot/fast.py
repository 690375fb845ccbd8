"""The FAST action tokenizer (Pertsch et al. 2025, arXiv:2501.09747) from its files, not its code.

Its hub repository carries Python that transformers would execute. Only two of its files are read
here: ``tokenizer.json``, a byte-pair encoding, and the numbers in ``processor_config.json``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from so101.errors import CheckpointError
from so101.policies.checkpoints.json_file import read_json, write_json

TOKENIZER_FILE = "tokenizer.json"
NUMBERS_FILE = "processor_config.json"
_LARGEST_NUMBER = 1e6


class ActionDecoder:
    """Byte-pair tokens to text, and whether that failed: LeRobot would go on with zeros.

    Attributes:
        problem: Why the tokens of the last answer are no actions; empty when they are.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Wrap a `tokenizers.Tokenizer`."""
        self.tokenizer = tokenizer
        self.problem = ""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of some tokens; its characters are the coefficients."""
        ids = [int(token) for token in tokens]
        size = self.tokenizer.get_vocab_size()
        if not ids or min(ids) < 0 or max(ids) >= size:
            self.problem = f"action tokens {ids[:5]} are not of this tokenizer's {size}"
        return str(self.tokenizer.decode(ids, skip_special_tokens=False))


class FastTokenizer:
    """Chunks of actions to tokens: cosine transform over time, rounded, byte-pair encoded.

    Attributes:
        scale: Rounding steps per unit of a coefficient.
        min_token: Coefficient that character 0 stands for.
        bpe_tokenizer: Tokens back to text, under the name that LeRobot uses.
    """

    def __init__(self, tokenizer: Any, scale: float, min_token: int) -> None:
        """Wrap a `tokenizers.Tokenizer`."""
        self.scale, self.min_token = scale, min_token
        self.bpe_tokenizer = ActionDecoder(tokenizer)

    @classmethod
    def read(cls, directory: Path) -> "FastTokenizer":
        """Read its two files.

        Raises:
            CheckpointError: One is missing or broken.
        """
        from tokenizers import Tokenizer

        file = directory / NUMBERS_FILE
        values = read_json(file.resolve())
        scale, least = (_number(values, key, file) for key in ("scale", "min_token"))
        if scale <= 0:
            raise CheckpointError(f"{file}: scale must be positive")
        try:
            tokenizer = Tokenizer.from_file(str(directory / TOKENIZER_FILE))
        except Exception as error:  # tokenizers raises no narrower class
            raise CheckpointError(f"{directory / TOKENIZER_FILE}: {error}") from error
        return cls(tokenizer, scale, int(least))

    def write(self, directory: Path) -> None:
        """Write its two files, the inverse of `read`."""
        directory.mkdir(parents=True, exist_ok=True)
        self.bpe_tokenizer.tokenizer.save(str(directory / TOKENIZER_FILE))
        numbers = {"scale": self.scale, "min_token": self.min_token}
        write_json(directory / NUMBERS_FILE, numbers)

    def __call__(self, chunks: Any) -> list[list[int]]:
        """Return the tokens of each chunk.

        Args:
            chunks: Normalised actions. Shape (batch, horizon, joints).
        """
        from scipy.fft import dct

        coefficients = dct(np.asarray(chunks), axis=1, norm="ortho")
        rounded = np.around(coefficients * self.scale).astype(np.int64) - self.min_token
        return [self._encode(one) for one in rounded.reshape(len(rounded), -1)]

    def _encode(self, characters: Any) -> list[int]:
        text = "".join(chr(max(int(number), 0)) for number in characters)
        return list(self.bpe_tokenizer.tokenizer.encode(text, add_special_tokens=False).ids)


def _number(values: Mapping[str, Any], key: str, file: Path) -> float:
    number = values.get(key)
    if not isinstance(number, int | float) or abs(number) > _LARGEST_NUMBER:
        raise CheckpointError(f"{file}: {key} is {number!r}")
    return float(number)
