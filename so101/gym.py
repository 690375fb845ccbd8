"""Importing this module registers the environment, so that gymnasium finds it by name.

``gymnasium.make("so101.gym:So101Pick-v0")`` imports what is before the colon and makes what is
behind it. Since gymnasium 1.0 this is the only way: it no longer loads entry points by itself.
Registering is all this module does; the environment is in `so101.simulation.env`.
"""

from so101.simulation.env import register

register()
