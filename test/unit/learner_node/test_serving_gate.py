"""Training stands still while a request is there, and only then; never for ever."""

import sys
import threading

import torch

from learner_node.serving_gate import RequestGate, quick_switching


class Beside:
    """A thread that adds tensors under the gate and says how often."""

    def __init__(self, gate):
        self.additions, self._gate = 0, gate
        self._stop = threading.Event()
        self.counted = threading.Event()
        self._thread = threading.Thread(target=self._add, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(10.0)
        assert not self._thread.is_alive()

    def goes_on(self, timeout_s):
        self.counted.clear()
        return self.counted.wait(timeout_s)

    def _add(self):
        total = torch.zeros(4)
        with self._gate.training():
            while not self._stop.is_set():
                self._gate.begin_step()
                total = torch.add(total, 1.0)
                self.additions += 1
                self.counted.set()


def test_training_stands_still_while_a_request_runs():
    gate = RequestGate(patience_s=60.0)
    with Beside(gate) as beside:
        assert beside.goes_on(10.0)
        with gate.request(), gate.request():
            assert gate.is_shut
            beside.goes_on(0.05)  # the addition under way
            before = beside.additions
            assert not beside.goes_on(0.05)
            assert beside.additions == before
        assert not gate.is_shut
        assert beside.goes_on(10.0)
    assert gate.waited_s > 0.0


def test_requests_without_end_slow_training_and_do_not_stop_it():
    gate = RequestGate(patience_s=0.01)
    with Beside(gate) as beside, gate.request():
        before = beside.additions
        for _ in range(3):
            assert beside.goes_on(10.0)
        assert beside.additions >= before + 3


def test_the_patience_is_that_of_a_whole_step():
    now = iter([0.0, 0.3, 0.3, 0.5, 9.0, 9.1])
    gate = RequestGate(patience_s=0.4, clock=lambda: next(now))
    gate._open.wait = lambda timeout=None: False  # the clock passes, nobody waits
    with gate.request():
        gate.begin_step()  # 0.3 s of 0.4 s
        gate.give_way()  # the rest
        gate.give_way()  # none is left: no look at the clock
        gate.begin_step()
    assert round(gate.waited_s, 6) == 0.6


def test_an_open_gate_asks_no_clock():
    gate = RequestGate(clock=lambda: 1 / 0)
    with gate.training():
        assert float(torch.ones(3).sum()) == 3.0
    assert gate.waited_s == 0.0


def test_other_threads_do_not_pass_the_gate():
    gate = RequestGate(patience_s=60.0)
    with gate.request():  # as inference does; were this thread to wait, it would wait for itself
        assert float(torch.ones(3).sum()) == 3.0


def test_the_switch_interval_is_put_back():
    before = sys.getswitchinterval()
    with quick_switching(0.0002):
        assert abs(sys.getswitchinterval() - 0.0002) < 1e-6
    assert sys.getswitchinterval() == before
