"""Check of the graphics card: is there one, and does torch compute on it?

Torch takes seconds to import and half a gigabyte: it is asked in a process of its own.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so101_bringup.doctor.finding import Finding

DRIVER = Path("/proc/driver/nvidia/version")
ASK_S = 60.0
"""A first import from a slow disk takes long [s]."""
_PROBE = """
import json, torch
told = {"torch": torch.__version__, "built": torch.version.cuda or "", "cards": [], "error": ""}
try:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(index)
            told["cards"].append([found.name, found.total_memory])
        ones = torch.ones(64, 64, device="cuda")
        assert float((ones @ ones).sum()) == 64.0**3, "a product of matrices is wrong"
except Exception as error:
    told["error"] = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
print(json.dumps(told))
"""


def ask_torch(program: str = _PROBE, timeout_s: float = ASK_S) -> dict[str, Any]:
    """Return what torch says of its graphics cards, asked in another process.

    Args:
        program: What it runs.
        timeout_s: Longest wait [s].

    Returns:
        ``torch`` and ``built`` (versions), ``cards`` (name and bytes of each) and ``error``.
    """
    told = {"torch": "", "built": "", "cards": [], "error": ""}
    try:
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return {**told, "error": f"no answer within {timeout_s:g} s"}
    if run.returncode:
        last = run.stderr.strip().splitlines()[-1:] or [f"ended with {run.returncode}"]
        return {**told, "error": last[0]}
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


def check_gpu(told: Mapping[str, Any], driver: str) -> Finding:
    """See whether torch computes on a graphics card, where there is one.

    Args:
        told: Answer of `ask_torch`.
        driver: First line of NVIDIA's driver; empty without one.
    """
    if not told["torch"]:
        return Finding("GPU", f"torch does not load: {told['error']}", "run make rl or make test")
    if told["error"]:
        advice = (
            "update NVIDIA's driver, or end what fills its memory; else policies run on the CPU"
        )
        return Finding("GPU", f"torch cannot use it: {told['error']}", advice)
    if told["cards"]:
        cards = ", ".join(f"{name}, {size / 2**30:.0f} GiB" for name, size in told["cards"])
        return Finding("GPU", f"{cards}; torch {told['torch']} computes on it")
    if not driver:
        return Finding("GPU", f"none; torch {told['torch']} computes on the CPU")
    if not told["built"]:
        advice = "install a torch with CUDA: pip install torch from https://pytorch.org"
        return Finding("GPU", f"there is one, torch {told['torch']} is built without CUDA", advice)
    advice = "nvidia-smi says more; a reboot after a driver update often helps"
    return Finding("GPU", f"there is a driver ({driver}), and torch sees no card", advice)
