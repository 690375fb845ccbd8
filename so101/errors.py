"""Errors a user can act on. Everything else is a bug and may be any exception."""


class So101Error(Exception):
    """Base class of every error this project raises on purpose."""


class ConfigError(So101Error):
    """A configuration value is missing, unknown, duplicate or out of range."""


class TrajectoryError(So101Error):
    """A joint trajectory breaks the rules of its topic and is rejected whole."""


class MotionError(So101Error):
    """A motion is refused because it cannot be carried out safely."""


class CollidingLineError(MotionError):
    """The straight line of a motion would bring two parts too close: another way may do."""


class HardwareError(So101Error):
    """A device is missing, silent or answers nonsense."""


class PortLostError(HardwareError):
    """A serial device is gone: it has to be opened anew."""


class RenderError(So101Error):
    """No usable OpenGL back-end was found for off-screen rendering."""


class ClockError(So101Error):
    """A stamp is of another clock than the one it is compared with."""


class BagError(So101Error):
    """A bag is corrupt, foreign or incomplete."""


class StoreError(So101Error):
    """An episode or checkpoint store is unwritable, full, or in use by another instance."""


class RemoteError(StoreError):
    """A remote store cannot be reached, or does not hold what was written to it."""


class CheckpointError(So101Error):
    """A checkpoint is corrupt or does not fit the robot, its cameras or the policy."""


class SessionError(So101Error):
    """A request does not fit the present state of the session or episode."""


class ObservationError(So101Error):
    """An observation lacks what a policy needs, or is not finite."""


class TrainingError(So101Error):
    """Training cannot go on: its data, its losses or its saved state are unusable."""


class ServerLostError(So101Error):
    """An inference server does not answer in time, or cannot be reached: worth another try."""


class ServerRefusedError(So101Error):
    """An inference server answers, and says no: to this client, this request or this policy."""


class ProtocolError(So101Error):
    """A message from the network breaks the rules of its protocol or its limits."""
