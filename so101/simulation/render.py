"""Off-screen pictures of a MuJoCo model."""

import atexit
import weakref
from typing import Any

import numpy as np

from so101.arrays import ImageArray
from so101.simulation import gl


class Renderer:
    """Draws one model at one size. Use it from the thread that made it."""

    def __init__(self, model: Any, *, height: int, width: int) -> None:
        """Create the OpenGL context.

        Raises:
            RenderError: No OpenGL back-end works.
        """
        self._mujoco = gl.load_mujoco()
        self._context = gl.make_context(width, height)
        model.vis.global_.offwidth = width
        model.vis.global_.offheight = height
        self._model = model
        self._scene = self._mujoco.MjvScene(model, maxgeom=max(200, 2 * model.ngeom))
        self._option = self._mujoco.MjvOption()
        self._drawing = self._mujoco.MjrContext(model, self._mujoco.mjtFontScale.mjFONTSCALE_100)
        self._mujoco.mjr_setBuffer(self._mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._drawing)
        self._area = self._mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.empty((height, width, 3), dtype=np.uint8)
        # OpenGL has to be let go before the back-end's own exit handler takes the display away.
        atexit.register(_close, weakref.ref(self))

    def render(self, data: Any, camera: Any) -> ImageArray:
        """Return a picture.

        Args:
            data: The state to draw.
            camera: An ``mjvCamera``.

        Returns:
            RGB. Shape (height, width, 3).
        """
        mujoco = self._mujoco
        self._context.make_current()
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(self._area, self._scene, self._drawing)
        mujoco.mjr_readPixels(self._pixels, None, self._area, self._drawing)
        return np.ascontiguousarray(self._pixels[::-1])  # OpenGL's first row is the lowest

    def close(self) -> None:
        """Free the OpenGL objects; may be called twice."""
        if self._context is not None:
            self._context.make_current()
            self._drawing.free()
            self._context.free()
            self._context = None


def _close(reference: "weakref.ref[Renderer]") -> None:
    renderer = reference()
    if renderer is not None:
        renderer.close()
