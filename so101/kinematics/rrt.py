"""RRT-Connect: a way around obstacles in joint space (Kuffner and LaValle 2000). Pure.

Two trees grow from the start and the goal, in turn, each towards a random pose and then towards
what the other one has just reached, until they meet. What may be passed is asked of the caller.
"""

from collections.abc import Callable

import numpy as np

from so101.arrays import FloatArray

EXTENSION_RAD = 0.3
"""Longest edge of a tree, in its fastest joint [rad]."""

MOST_SAMPLES = 3000
"""Random poses after which there is probably no way."""

_CUTS = 60

IsFree = Callable[[FloatArray, FloatArray], bool]
"""Tells whether the straight joint line from the first pose to the second may be passed."""


def find_way(
    start: FloatArray,
    goal: FloatArray,
    is_free: IsFree,
    bounds: tuple[FloatArray, FloatArray],
    rng: np.random.Generator,
) -> list[FloatArray] | None:
    """Return the corners of a way from start to goal, both included, or None.

    Args:
        start: Joint positions [rad]. Shape (joints,).
        goal: Joint positions [rad]. Shape (joints,).
        is_free: Asked of every straight piece, in the direction of travel.
        bounds: Smallest and largest positions [rad], each of shape (joints,).
        rng: Draws poses and shortcuts; the same one gives the same way.
    """
    forth = _Tree(start, is_free)
    back = _Tree(goal, lambda one, other: is_free(other, one))
    growing, other = forth, back
    for _ in range(MOST_SAMPLES):
        reached = growing.extend(rng.uniform(*bounds))
        if reached is not None and other.connect(growing.poses[reached]):
            way = [*reversed(forth.branch(_last(forth, growing, reached)))]
            way += back.branch(_last(back, growing, reached))[1:]
            return _shorten(way, is_free, rng)
        growing, other = other, growing
    return None


def _last(tree: "_Tree", growing: "_Tree", reached: int) -> int:
    """Return where the trees met, in one of them."""
    return reached if tree is growing else len(tree.poses) - 1


class _Tree:
    """Poses that can be reached from its root, or from which its root can be."""

    def __init__(self, root: FloatArray, is_free: IsFree) -> None:
        self.poses = [np.asarray(root, dtype=np.float64)]
        self._parents = [-1]
        self._is_free = is_free

    def extend(self, towards: FloatArray) -> int | None:
        """Grow by one edge; return the index of the new pose, or None where the way is barred."""
        nearest = int(np.abs(np.array(self.poses) - towards).max(axis=1).argmin())
        at = self.poses[nearest]
        way = towards - at
        length = float(np.abs(way).max())
        pose = towards if length <= EXTENSION_RAD else at + way * (EXTENSION_RAD / length)
        if not self._is_free(at, pose):
            return None
        self.poses.append(pose)
        self._parents.append(nearest)
        return len(self.poses) - 1

    def connect(self, target: FloatArray) -> bool:
        """Grow until a pose is reached; tell whether it was."""
        while (index := self.extend(target)) is not None:
            if self.poses[index] is target:
                return True
        return False

    def branch(self, index: int) -> list[FloatArray]:
        """Return the poses from one of them to the root."""
        poses = []
        while index >= 0:
            poses.append(self.poses[index])
            index = self._parents[index]
        return poses


def _shorten(way: list[FloatArray], is_free: IsFree, rng: np.random.Generator) -> list[FloatArray]:
    """Return the way with corners left out wherever the straight line is free."""
    for _ in range(_CUTS):
        if len(way) < 3:
            break
        first, last = sorted(rng.choice(len(way), 2, replace=False).tolist())
        if last - first > 1 and is_free(way[first], way[last]):
            way = [*way[: first + 1], *way[last:]]
    return way
