"""What a dictionary's training would do: parameters, memory and time, before it is done."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np

from isthmus.data.streams import VectorStream, open_vectors
from isthmus.runs.dictionary.jobs import DictionaryJob
from isthmus.training import Plan
from isthmus.training.device import chosen_device
from isthmus.training.dictionary import fit_dictionaries

__all__ = ["plan"]

_STEPS = 8
_BUFFER = 1 << 28  # bytes of rows that a stream keeps in memory at most
_STATES = 4  # weights, Adam's two moments, the best epoch's weights


def plan(job: DictionaryJob) -> Plan:
    """Estimate a training by taking a few steps on copies; nothing given is changed.

    Memory counts weights, Adam's two moments and the best epoch's weights, the rows that the
    stream keeps, and those for validation; for bottlenecks that are trained densely also the
    batch's activations and their gradients.
    """
    parts, training = job.parts, job.training
    size = training.batch_size
    rows = parts.stream.sample(min(parts.stream.rows, _STEPS * size))
    config = dataclasses.replace(training, epochs=1, patience=0, checkpoint_seconds=1e9)
    empty = np.empty((0, parts.vectors.dim), np.float32)
    seconds, taken = 0.0, 1
    # the first time compiles
    for _ in range(2):
        models = {name: copy.deepcopy(model) for name, model in job.models.items()}
        stream = VectorStream(open_vectors(rows), size, training.seed, drop_bad=training.drop_bad)
        fitted = fit_dictionaries(models, stream, config, held_out=empty)
        seconds, taken = next(iter(fitted.values())).seconds, stream.batches
    step = seconds / taken
    steps = parts.stream.batches * training.epochs
    parameters = sum(p.numel() for m in job.models.values() for p in m.parameters())
    held = parts.rows.get("validation", 0)
    buffer = min(_BUFFER, 4 * parts.stream.rows * parts.vectors.dim)
    dense = sum(
        5 * 4 * size * model.latent for model in job.models.values() if not model.objective.sparse
    )
    return Plan(
        parameters=parameters,
        steps=steps,
        memory_bytes=_STATES * 4 * parameters + buffer + 4 * held * parts.vectors.dim + dense,
        disk_bytes=(_STATES + 1) * 4 * parameters,
        seconds=step * steps,
        samples_per_second=min(size, len(rows)) / max(step, 1e-9),
        device=str(chosen_device(training.device)),
        words=tuple(job.one.describe()),
    )
