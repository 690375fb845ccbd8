"""What becomes of requests: chunks, or short failures; one unfit request harms no other."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from contracts.policy_factories import make_observation, make_policy

from so101.action import ChunkPrefix
from so101.errors import ObservationError
from so101.images import encode_jpeg
from so101.policies.hold_policy import HoldPolicy
from so101.policies.remote.server.batching import Job
from so101.policies.remote.server.inference import Served, infer_jobs, observation_of
from so101.policies.remote.wire.messages import Answer, Code, Failure, InferRequest

CAMERAS = ("wrist", "front")
SHA = "ab" * 32


@pytest.fixture(scope="module")
def flow():
    return make_policy(cameras=CAMERAS)


def noise(seed):
    return np.random.default_rng(seed).standard_normal((16, 6), dtype=np.float32)


def job(owner=0, observation=None, **asked):
    seen = observation or make_observation(cameras=CAMERAS, seed=owner)
    request = InferRequest(id=owner + 10, observation=seen, timeout_ms=1e3, **asked)
    return Job(owner=owner, request=request, arrived_s=1.0, answer=lambda outcome: None)


def serve(policy, *jobs):
    ticks = iter(np.arange(2.0, 3.0, 0.001))
    return infer_jobs(Served(policy=policy, sha256=SHA), jobs, lambda: float(next(ticks)))


def test_an_answer_is_the_policys_own(flow):
    one = job(noise=noise(0))
    (found,) = serve(flow, one)
    planned = flow.infer(one.request.observation, noise=noise(0))
    assert np.array_equal(found.chunk.positions, planned.chunk.positions)
    assert np.array_equal(found.native_action, planned.native_action)
    assert np.array_equal(found.aux["noise"], noise(0))
    assert (found.id, found.checkpoint) == (10, SHA)
    assert found.timings_ms["queue"] == pytest.approx(1000.0)
    assert found.timings_ms["infer"] == pytest.approx(1.0)
    assert found.timings_ms["total"] == pytest.approx(1003.0)


def test_several_requests_are_one_pass_and_each_gets_its_own_chunk(flow, monkeypatch):
    passes = []
    whole = type(flow).infer_batch

    def counted(self, observations, noises=None, **asked):
        passes.append(len(observations))
        return whole(self, observations, noises, **asked)

    monkeypatch.setattr(type(flow), "infer_batch", counted)
    jobs = [job(owner, noise=noise(owner)) for owner in range(3)]
    found = serve(flow, *jobs)
    assert passes == [3]
    monkeypatch.undo()
    for one, answer in zip(jobs, found, strict=True):
        alone = flow.infer(one.request.observation, noise=one.request.noise)
        assert answer.id == one.request.id
        np.testing.assert_allclose(answer.chunk.positions, alone.chunk.positions, atol=1e-5)
        assert answer.timings_ms["batch"] == 3.0


def test_a_policy_that_infers_one_at_a_time_serves_several():
    found = serve(HoldPolicy(), *(job(owner) for owner in range(3)))
    assert [type(one) for one in found] == [Answer] * 3


def test_one_unfit_request_harms_no_other(flow):
    blind = replace(make_observation(cameras=CAMERAS), images={})
    short = replace(make_observation(cameras=CAMERAS), positions=np.zeros(5))
    found = serve(flow, job(0), job(1, blind), job(2, short), job(3))
    assert [type(one) for one in found] == [Answer, Failure, Failure, Answer]
    assert {one.code for one in found[1:3]} == {Code.OBSERVATION}
    assert "camera" in found[1].message and "positions has shape (5,)" in found[2].message


def test_one_shape_of_noise_that_differs_harms_no_other(flow):
    odd = np.zeros((3, 6), dtype=np.float32)
    found = serve(flow, job(0, noise=noise(0)), job(1, noise=odd), job(2, noise=noise(2)))
    assert [type(one) for one in found] == [Answer, Failure, Answer]


class Broken(HoldPolicy):
    """Fails in one way or another."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def infer(self, observation, **asked):
        if self.how == "raises":
            raise ZeroDivisionError("secret of /home/anna")
        planned = super().infer(observation, **asked)
        positions = np.array(planned.chunk.positions)
        if self.how == "nan":
            positions[3, 2] = np.nan
        elif self.how == "wide":
            positions = np.zeros((16, 7))
        elif self.how == "empty":
            positions = positions[:0]
        return replace(planned, chunk=replace(planned.chunk, positions=positions))


@pytest.mark.parametrize("how", ["raises", "nan", "wide", "empty"])
def test_a_broken_policy_is_a_short_failure_and_a_line_in_the_log(how, caplog):
    with caplog.at_level(logging.ERROR):
        (found,) = serve(Broken(how), job())
    assert found.code is Code.POLICY and found.id == 10
    assert "secret" not in found.message and "Traceback" not in found.message
    assert caplog.records


def test_compressed_images_are_decoded_for_the_policys_cameras_only(flow):
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    seen = replace(make_observation(cameras=CAMERAS), images={})
    compressed = {camera: encode_jpeg(picture) for camera in CAMERAS} | {"side": b"no image"}
    found = observation_of(job(0, seen, compressed=compressed).request, flow.spec)
    assert set(found.images) == set(CAMERAS)
    assert found.images["front"].shape == (24, 24, 3)


def test_an_image_that_cannot_be_decoded_is_the_observations_fault(flow):
    (found,) = serve(flow, job(compressed={"front": b"no image"}))
    assert found.code is Code.OBSERVATION and "'front'" in found.message


def test_a_prefix_of_another_arm_is_refused(flow):
    prefix = ChunkPrefix(positions=np.zeros((2, 7)), decided=1)
    with pytest.raises(ObservationError, match="6 joints"):
        observation_of(job(prefix=prefix).request, flow.spec)


def test_a_prefix_reaches_the_policy():
    wish = np.full((3, 6), 0.5)
    (found,) = serve(HoldPolicy(), job(prefix=ChunkPrefix(positions=wish, decided=2)))
    assert np.array_equal(found.chunk.positions[:2], wish[:2])
