"""An obstacle that is easy to reckon with, in place of a model of the arm."""

from so101.control.clearance import Clearance


class Wall:
    """Two parts whose distance is the room left in front of the first joint."""

    def near(self, positions):
        distance = float(0.5 - positions[0])
        near = Clearance(pair=("link", "wall"), distance=distance, stop=0.01, slow=0.02)
        return (near,) if distance < near.slow else ()
