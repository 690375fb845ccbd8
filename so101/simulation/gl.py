"""Finds a working off-screen OpenGL back-end before MuJoCo is imported.

MuJoCo reads MUJOCO_GL while it is imported, and a wrong value breaks that import, physics and all.
So everything in ``so101.simulation`` takes MuJoCo from `load_mujoco`, which tries the libraries
with ctypes first. Without OpenGL physics works and only rendering raises.
"""

import ctypes
import ctypes.util
import importlib
import logging
import os
from functools import cache
from typing import Any

from so101.errors import RenderError

_log = logging.getLogger(__name__)

_EGL_PLATFORM_DEVICE = 0x313F
_EGL_OPENGL_API = 0x30A2
_MAX_DEVICES = 16
_OFF = ("disable", "disabled", "off", "false", "0")

HINT = (
    "no OpenGL for off-screen rendering: neither EGL nor OSMesa works here. On Debian or Ubuntu "
    "install libegl1 libegl-mesa0 libgl1-mesa-dri (or libosmesa6); state mode needs none of them"
)


def load_mujoco() -> Any:
    """Import MuJoCo with MUJOCO_GL set to a back-end that works.

    A working choice of the user stays; one that does not work is replaced, with a warning.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if chosen not in _OFF:
        backend = find_backend()
        if chosen and chosen != backend:
            _log.warning("MUJOCO_GL=%s does not work here, using %s", chosen, backend or "none")
        os.environ["MUJOCO_GL"] = backend or "disable"
    return importlib.import_module("mujoco")


def make_context(width: int, height: int) -> Any:
    """Create an off-screen OpenGL context and make it current in this thread.

    Raises:
        RenderError: No back-end works; the message names the system packages to install.
    """
    backend = find_backend()
    if backend is None:
        raise RenderError(HINT)
    load_mujoco()
    try:
        context = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
        context.make_current()
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        raise RenderError(f"{HINT}; {backend} said: {error}") from error
    return context


@cache
def find_backend() -> str | None:
    """Return ``egl`` or ``osmesa``, whichever works, the user's MUJOCO_GL first, or None."""
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if chosen in _OFF:
        return None
    order = [chosen] if chosen in _PROBES else []
    order += [name for name in _PROBES if name not in order]
    return next((name for name in order if _is_free(name) and _PROBES[name]()), None)


def _is_free(backend: str) -> bool:
    """Tell whether PyOpenGL, which serves one platform per process, can still serve this one."""
    return os.environ.get("PYOPENGL_PLATFORM", backend).lower() == backend


def _has_egl() -> bool:
    """Tell whether EGL offers a device that initialises, as MuJoCo's EGL context needs."""
    library = _load("EGL", "libEGL.so.1")
    if library is None:
        return False
    library.eglGetProcAddress.restype = ctypes.c_void_p
    library.eglGetProcAddress.argtypes = [ctypes.c_char_p]
    query = library.eglGetProcAddress(b"eglQueryDevicesEXT")
    get_display = library.eglGetProcAddress(b"eglGetPlatformDisplayEXT")
    if not query or not get_display:
        return False
    pointer = ctypes.c_void_p
    query_devices = ctypes.CFUNCTYPE(
        ctypes.c_uint, ctypes.c_int, ctypes.POINTER(pointer), ctypes.POINTER(ctypes.c_int)
    )(query)
    platform_display = ctypes.CFUNCTYPE(pointer, ctypes.c_uint, pointer, pointer)(get_display)
    devices, count = (pointer * _MAX_DEVICES)(), ctypes.c_int()
    if not query_devices(_MAX_DEVICES, devices, ctypes.byref(count)):
        return False
    library.eglInitialize.argtypes = [pointer, pointer, pointer]
    for device in devices[: count.value]:
        display = platform_display(_EGL_PLATFORM_DEVICE, device, None)
        # Initialised displays stay so: MuJoCo's context would lose its display otherwise.
        if display and library.eglInitialize(display, None, None):
            return bool(library.eglBindAPI(_EGL_OPENGL_API))
    return False


def _has_osmesa() -> bool:
    library = _load("OSMesa", "libOSMesa.so.8")
    return library is not None and hasattr(library, "OSMesaCreateContextExt")


def _load(name: str, soname: str) -> Any:
    for candidate in (ctypes.util.find_library(name), soname):
        if candidate is not None:
            try:
                return ctypes.CDLL(candidate)
            except OSError:
                continue
    return None


_PROBES = {"egl": _has_egl, "osmesa": _has_osmesa}
