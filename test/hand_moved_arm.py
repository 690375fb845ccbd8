"""An arm whose servos are plain registers and whose joints a test moves by hand."""

from so101.errors import HardwareError
from so101.robot import JOINTS
from so101.servos import registers as reg

IDS = (1, 2, 3, 4, 5, 6)
NAMES = dict(zip(JOINTS, IDS, strict=True))


class HandMovedArm:
    """Keeps registers, and says positions as a servo does: encoder minus offset, in one turn.

    ``fail_after`` lets that many writes pass; the next is carried out, then raises ``failure``.
    """

    def __init__(self, encoders=(2047,) * 6, offsets=(0,) * 6):
        self.encoders = dict(zip(IDS, encoders, strict=True))
        self.memory = {
            servo: {register.name: register.default for register in reg.REGISTERS} for servo in IDS
        }
        for servo, offset in zip(IDS, offsets, strict=True):
            self.memory[servo]["homing_offset"] = offset
        self.written = []
        self.fail_after = None
        self.failure = HardwareError("no answer")
        self.is_deaf = set()

    def read(self, servo, register):
        if servo in self.is_deaf:
            raise HardwareError(f"servo {servo}: no answer")
        if register is reg.PRESENT_POSITION:
            return (self.encoders[servo] - self.memory[servo]["homing_offset"]) % 4096
        return self.memory[servo][register.name]

    def write(self, servo, register, value):
        register.encode(value)
        self.written.append((servo, register.name, value))
        if not register.is_eeprom or self.memory[servo]["lock"] == 0:
            self.memory[servo][register.name] = value
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                self.fail_after = None
                raise self.failure

    def eeprom(self):
        names = [register.name for register in reg.REGISTERS if register.is_eeprom]
        return {(servo, name): self.memory[servo][name] for servo in IDS for name in names}
