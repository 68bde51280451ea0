"""What codes of sentence embeddings are good for: labels, neighbours, retrieval.

Probes are on CLINC150: all 23,700 texts, 150 intents and "out of scope", permuted with numpy's
``default_rng(0)``, the first 80 % for training (dense vectors reach .960 so; .954 from the official
training texts to the official test texts without "out of scope"). Retrieval is on the test queries
of SciFact and on Cranfield, by cosine, nDCG@10. All is in the folder named by ``ISTHMUS_DATA``.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dictionary_coders import Coder
from dictionary_data import Floats
from isthmus.metrics import code_probe, neighbour_retention, retrieval_retention, sparse_probe

SETS = ("scifact", "cranfield")
FEW = (1, 5, 16)
"""Latents of a k-sparse probe."""
USUAL = 10.0
"""Inverse of the probe's penalty, as ``code_probe`` has it by default."""
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Search:
    """A retrieval set."""

    queries: Floats
    """Vectors of the judged queries (Q, D)."""
    documents: Floats
    """Vectors of the documents (R, D)."""
    query_ids: list[str]
    """Ids of the queries."""
    document_ids: list[str]
    """Ids of the documents."""
    judgements: dict[str, dict[str, int]]
    """For each query its judged documents and their grades."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Everything that codes are tried on."""

    clinc: Floats
    """Vectors of CLINC150 (R, D)."""
    labels: NDArray[np.int64]
    """Their intents (R,)."""
    train: NDArray[np.int64]
    """Rows that probes are trained on."""
    test: NDArray[np.int64]
    """Rows that they are tested on."""
    searches: dict[str, Search]
    """The retrieval sets by name."""

    def measured(self, coder: Coder) -> Row:
        """Return accuracies and nDCG@10 of one coder."""
        return self.probed(coder) | {"ndcg": self.retrieved(coder)}

    def probed(self, coder: Coder) -> Row:
        """Return the accuracies of probes and of the nearest neighbour."""
        codes, labels = coder.encode(self.clinc), self.labels
        known, tested = labels[self.train], labels[self.test]
        pair = codes[self.train], codes[self.test]
        linear = code_probe(pair[0], known, pair[1], tested, strength=_strength(pair[0]))
        with warnings.catch_warnings():
            # The small probes stop at 200 iterations; a few need more.
            warnings.filterwarnings("ignore", message="lbfgs failed to converge")
            few = sparse_probe(pair[0], known, pair[1], tested, latents=FEW)
        near = neighbour_retention(
            (pair[0], self.clinc[self.train]), known, (pair[1], self.clinc[self.test]), tested
        )
        return {
            "probe": linear.accuracy,
            "probe_low": linear.interval.low,
            "probe_high": linear.interval.high,
            "probe_chance": linear.chance,
            "probe_converged": linear.converged,
            "sparse_probe": {str(k): value for k, value in few.balanced_accuracy.items()},
            "sparse_probe_f1": {str(k): value for k, value in few.f1.items()},
            "sparse_probe_f1_chance": few.f1_chance,
            "nearest": near.codes,
            "nearest_chance": near.chance,
        }

    def retrieved(self, coder: Coder) -> dict[str, dict[str, float]]:
        """Return nDCG@10 of dense vectors, codes and reconstructions, by retrieval set."""
        found = {}
        for name, search in self.searches.items():
            pair = coder.encode(search.queries), coder.encode(search.documents)
            back = coder.decode(pair[0]), coder.decode(pair[1])
            dense, others = retrieval_retention(
                (search.queries, search.documents),
                {"codes": pair, "reconstructions": back},
                search.judgements,
                query_ids=search.query_ids,
                document_ids=search.document_ids,
            )
            found[name] = {"dense": dense.ndcg_10} | {
                kind: kept.scores.ndcg_10 for kind, kept in others.items()
            }
        return found


def texts(few: int = 0) -> Texts:
    """Read everything; of CLINC150 the first ``few`` texts of the permutation, 0 for all."""
    home = Path(os.environ.get("ISTHMUS_DATA", ""))
    wanted = ["embeddings/clinc150.npy", "text-topics/clinc150.jsonl.gz"]
    wanted += [f"embeddings/{name}/corpus.npy" for name in SETS]
    wanted += [f"{name}/qrels/test.tsv" for name in SETS]
    for name in wanted:
        if not (home / name).is_file():
            raise SystemExit(f"Set ISTHMUS_DATA to a folder that holds {name}.")
    with gzip.open(home / "text-topics" / "clinc150.jsonl.gz", "rt", encoding="utf-8") as lines:
        names = [json.loads(line)["label"] for line in lines]
    vectors = _vectors(home / "embeddings" / "clinc150.npy")
    order = np.random.default_rng(0).permutation(len(vectors))[: few or None]
    cut = int(0.8 * len(order))
    return Texts(
        vectors,
        np.unique(names, return_inverse=True)[1],
        order[:cut],
        order[cut:],
        {name: _search(home, name) for name in SETS},
    )


def _strength(codes: Any) -> float:
    """Return the probe's strength: the usual one, unless the codes are mostly alike.

    ``code_probe`` scales codes by their mean squared length. Where more than half of that is the
    mean code (latents that are active on nearly every text), what tells texts apart would be
    penalised beyond use; the penalty is then scaled to the spread about the mean instead.
    """
    squares = codes.multiply(codes) if issparse(codes) else np.square(codes, dtype=np.float64)
    length = float(squares.sum(dtype=np.float64)) / codes.shape[0]
    common = float(np.square(np.asarray(codes.mean(axis=0), np.float64)).sum())
    return USUAL if 2 * common < length else USUAL * length / max(length - common, 1e-6 * length)


def _search(home: Path, name: str) -> Search:
    judgements: dict[str, dict[str, int]] = {}
    with (home / name / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            judgements.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    queries = _ids(home / name / "queries.jsonl")
    judged = [i for i, query in enumerate(queries) if query in judgements]
    return Search(
        _vectors(home / "embeddings" / name / "queries.npy")[judged],
        _vectors(home / "embeddings" / name / "corpus.npy"),
        [queries[i] for i in judged],
        _ids(home / name / "corpus.jsonl"),
        judgements,
    )


def _ids(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["_id"] for line in lines]


def _vectors(path: Path) -> Floats:
    return np.load(path, allow_pickle=False).astype(np.float32)
