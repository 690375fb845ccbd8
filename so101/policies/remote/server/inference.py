"""From requests to answers: the part of serving that runs the policy, in one worker thread.

Whatever a policy raises becomes a short `Failure`; the traceback stays in this machine's log.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from so101.action import is_finite_chunk
from so101.errors import ObservationError, So101Error
from so101.observation import Observation
from so101.policies.remote.server.batching import Job
from so101.policies.remote.server.received_images import decode_received
from so101.policies.remote.wire.messages import Answer, Code, Failure, InferRequest
from so101.spec import PolicySpec

if TYPE_CHECKING:
    from so101.policies.policy import Inference, Policy

_log = logging.getLogger(__name__)
_JOINT_ARRAYS = ("positions", "velocities", "effort", "command")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A policy and the checkpoint that its answers name.

    Attributes:
        policy: What plans. Used by one thread at a time.
        sha256: Of its weights.
    """

    policy: "Policy"
    sha256: str


def observation_of(request: InferRequest, spec: PolicySpec) -> Observation:
    """Return what the policy sees: images of its cameras decoded, arrays of the right size.

    Raises:
        ObservationError: An array has another number of joints, or an image cannot be decoded.
    """
    seen, joints = request.observation, (len(spec.joints),)
    for name in _JOINT_ARRAYS:
        if getattr(seen, name).shape != joints:
            shape = getattr(seen, name).shape
            raise ObservationError(f"observation: {name} has shape {shape}, needs {joints}")
    if request.prefix is not None and request.prefix.positions.shape[1:] != joints:
        raise ObservationError(f"prefix: needs {joints[0]} joints in each row")
    images = {
        camera: decode_received(camera, data, spec.image_size)
        for camera, data in request.compressed.items()
        if camera in spec.cameras
    }
    return replace(seen, images={**seen.images, **images}) if images else seen


def infer_jobs(
    served: Served, jobs: Sequence[Job], now: Callable[[], float] = time.monotonic
) -> list[Answer | Failure]:
    """Return what becomes of each request.

    Args:
        served: The policy.
        jobs: Requests that agree; see `so101.policies.remote.server.batching.agree`.
        now: The clock of their arrival [s].
    """
    started = now()
    found: dict[Job, Answer | Failure] = {}
    ready: dict[Job, Observation] = {}
    for job in jobs:
        try:
            ready[job] = observation_of(job.request, served.policy.spec)
        except So101Error as error:
            found[job] = _failure(job, Code.OBSERVATION, str(error))
    decoded = now()
    planned = _plan(served, ready)
    times = {"decode": 1e3 * (decoded - started), "infer": 1e3 * (now() - decoded)}
    for job, outcome in planned.items():
        if isinstance(outcome, Failure):
            found[job] = outcome
            continue
        own = {
            "queue": 1e3 * (started - job.arrived_s),
            **times,
            "total": 1e3 * (now() - job.arrived_s),
            "batch": float(len(ready)),
        }
        found[job] = _answer(served, job, outcome, own)
    return [found[job] for job in jobs]


def _plan(served: Served, ready: dict[Job, Observation]) -> "dict[Job, Inference | Failure]":
    infer_batch = getattr(served.policy, "infer_batch", None)
    if len(ready) > 1 and infer_batch is not None:
        try:
            return dict(zip(ready, _infer_together(infer_batch, ready), strict=True))
        except So101Error:
            pass  # one of them is unfit: each alone finds out which
        except Exception:
            _log.exception("the policy failed on %d requests at once", len(ready))
    return {job: _infer_alone(served, job, seen) for job, seen in ready.items()}


def _infer_together(infer_batch: Any, ready: dict[Job, Observation]) -> "Sequence[Inference]":
    requests = [job.request for job in ready]
    noises = [request.noise for request in requests if request.noise is not None]
    if len({noise.shape for noise in noises}) > 1:
        raise ObservationError("noise of several shapes")
    found: Sequence[Inference] = infer_batch(
        list(ready.values()),
        np.stack(noises) if noises else None,
        indicator=requests[0].indicator,
        guidance=requests[0].guidance,
    )
    return found


def _infer_alone(served: Served, job: Job, seen: Observation) -> "Inference | Failure":
    request = job.request
    try:
        return served.policy.infer(
            seen,
            noise=None if request.noise is None else np.array(request.noise),  # torch may write
            indicator=request.indicator,
            guidance=request.guidance,
            prefix=request.prefix,
        )
    except So101Error as error:
        return _failure(job, Code.OBSERVATION, str(error))
    except Exception:
        _log.exception("the policy failed")
        return _failure(job, Code.POLICY, "the policy failed; the server's log says why")


def _answer(
    served: Served, job: Job, planned: "Inference", timings_ms: dict[str, float]
) -> Answer | Failure:
    if not is_finite_chunk(planned.chunk, len(served.policy.spec.joints)):
        _log.error("the policy planned a chunk that is not finite or of another shape")
        return _failure(job, Code.POLICY, "the policy's chunk is not finite")
    return Answer(
        id=job.request.id,
        checkpoint=served.sha256,
        chunk=planned.chunk,
        native_action=planned.native_action,
        aux=planned.aux,
        timings_ms=timings_ms,
    )


def _failure(job: Job, code: Code, message: str) -> Failure:
    return Failure(id=job.request.id, code=code, message=" ".join(message.split())[:300])
