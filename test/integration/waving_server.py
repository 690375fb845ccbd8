"""A policy server whose arm waves, for tests: python waving_server.py PORT SHA256.

What the arm is to do at a stamp depends on nothing but the stamp, so a chunk that is followed too
late or from a point that is past shows. Lines on the standard input change its mood: ``delay
SECONDS`` per inference, ``nan 1`` for chunks that are not finite. Says ``ready`` when it serves.
"""

import sys
import time
from dataclasses import replace

import numpy as np

from so101.arrays import frozen
from so101.policies.hold_policy import HoldPolicy
from so101.policies.remote.server.access import read_token
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.hosting import HostedServer
from so101.policies.remote.server.inference import Served
from so101.policies.remote.server.server import PolicyServer
from so101.robot import so101
from so101.spec import PolicySpec

AMPLITUDE_RAD = np.array([0.4, 0.0, 0.0, 0.0, 0.4, 0.0])
PERIOD_S = 3.0


def wave(stamps_ns):
    """Return where the arm is wanted at some stamps [rad]. Shape (stamps, joints)."""
    phase = 2 * np.pi * np.asarray(stamps_ns) * 1e-9 / PERIOD_S
    return so101().home + np.sin(phase)[:, None] * AMPLITUDE_RAD


class Wave(HoldPolicy):
    """Plans the wave, late or wrong if it is told to."""

    def __init__(self):
        super().__init__(PolicySpec(uses_objects=True))
        self.delay_s, self.is_broken = 0.0, False

    def infer(self, observation, **options):
        time.sleep(self.delay_s)
        inference = super().infer(observation, **options)
        positions = wave(inference.chunk.due_ns())
        if self.is_broken:
            positions[3, 2] = np.nan
        return replace(inference, chunk=replace(inference.chunk, positions=frozen(positions)))


def main(argv):
    policy = Wave()
    served = Served(policy=policy, sha256=argv[2])
    server = PolicyServer(served, ServerConfig(port=int(argv[1])), token=read_token(None))
    with HostedServer(server):
        print("ready", flush=True)
        for line in sys.stdin:
            mood, value = line.split()
            policy.delay_s = float(value) if mood == "delay" else policy.delay_s
            policy.is_broken = value == "1" if mood == "nan" else policy.is_broken
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
