"""The date of some processes, set while they run; the machine's own stays as it is."""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("date_jump.c")
HOUR_S = 3600


class SetDate:
    """A date that is so many seconds off."""

    def __init__(self, folder):
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            pytest.skip("the date of a process is set by a small C library: no C compiler here")
        library, page = folder / "date_jump.so", folder / "date"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl", "-pthread"]
        subprocess.run(command, check=True)
        page.write_bytes(bytes(8))
        with page.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "SO101_TEST_DATE": str(page)}

    def set(self, off_s):
        """Set the date of every process with this environment [s from the machine's]."""
        self._page[:] = struct.pack("=q", off_s)
