"""Are translations of the right class, and varied: every direction, every subset of sources."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.modalities.audio import AudioAdapter
from isthmus.metrics.arrays import unit_rows
from isthmus.metrics.multimodal import cross_coherence, diversity
from isthmus.metrics.neighbours import nearest
from isthmus.runs.multimodal.baselines import features_of
from isthmus.runs.multimodal.judge import WordJudge
from isthmus.runs.multimodal.judges import Judges
from isthmus.runs.multimodal.measured_likeness import Likeness
from isthmus.runs.multimodal.subject import Subject, spread

__all__ = ["coherence", "heard_again", "judge_report", "sources"]

Labels = NDArray[np.int64]
_LEAST = 500


def sources(names: tuple[str, ...], to: str) -> list[tuple[str, ...]]:
    """Return the subsets of the other modalities, single ones first.

    Examples
    --------
    >>> sources(("image", "audio", "text"), "audio")
    [('image',), ('text',), ('image', 'text')]
    """
    others = [name for name in names if name != to]
    return [s for size in range(1, len(others) + 1) for s in combinations(others, size)]


def judge_report(subject: Subject, judges: Judges) -> dict[str, Any]:
    """Say how far each judge can be believed: real, reconstructed and round-tripped test items.

    Only items that the judge has not learned from count.
    """
    report: dict[str, Any] = {}
    for name in subject.data.names:
        judge, modality = judges.of[name], subject.data[name]
        rows = judges.unheard(subject.data, name)
        rows = rows[modality.labels[rows] >= 0]
        if not len(rows):
            continue
        report[name] = accuracy_of(judge, subject.items(name, rows), modality.labels[rows])
        some = spread(rows, subject.options.queries)
        codes = subject.encoded(name, some)
        own = {name: codes.private[name]} if name in codes.private else None
        back = subject.model.decode(codes.shared, own, [name])[name]
        report[name]["reconstructed"] = _share(judge.labels(back), modality.labels[some])
        some = spread(rows, subject.options.round_trip) if subject.options.round_trip else some[:0]
        again = heard_again(subject, name, subject.items(name, some))
        if again is not None:
            truth = modality.labels[some]
            report[name]["round_trip"] = _share(judge.labels(again), truth)
            report[name]["before_round_trip"] = _share(
                judge.labels(subject.items(name, some)), truth
            )
    return report


def accuracy_of(judge: Any, items: Tensor, labels: Labels) -> dict[str, Any]:
    """Return a judge's accuracy, its members', and its calibration on real items."""
    from isthmus.metrics.multimodal import calibration_error

    chances = judge.probabilities(items)
    found: dict[str, Any] = {
        "real": _share(judge.labels(items), labels),
        "calibration_error": calibration_error(chances, labels),
        "items": len(labels),
    }
    if hasattr(judge, "each"):
        found["members"] = [_share(said, labels) for said in judge.each(items)]
    return found


def _share(said: Labels, truth: Labels) -> float:
    return float((said == truth).mean())


def heard_again(subject: Subject, name: str, items: Tensor) -> Tensor | None:
    """Return sounds after they were made audible: to samples by Griffin-Lim and back.

    None for modalities that are no sounds, or where nothing is given.
    """
    adapter = subject.data[name].adapter
    if not isinstance(adapter, AudioAdapter) or not len(items):
        return None
    clips = adapter.inverse(items)
    loud = [i for i, clip in enumerate(clips) if np.abs(clip.samples).max() > 1e-4]
    back = items.clone()
    if loud:
        back[torch.tensor(loud)] = adapter.transform([clips[i] for i in loud])
    return back


def coherence(subject: Subject, judges: Judges, report: dict[str, Any]) -> dict[str, Any]:
    """Translate test items in every direction, and judge what comes out.

    Parameters
    ----------
    report
        Of the judges: coherence is also given as a share of their accuracy on real items.

    Returns
    -------
    dict
        By direction, such as ``image->audio`` and ``image+text->audio``. ``coherence`` and
        ``variance_ratio`` are those of draws; ``mean`` holds those of the likeliest translation,
        ``retrieve_then_decode`` those of decoding the nearest training item. ``frechet`` is the
        distance of draws to real test items, ``frechet_floor`` that of real training items.
    """
    found: dict[str, Any] = {}
    for to in subject.data.names:
        real = _Real(subject, to, judges.of[to])
        for given in sources(subject.data.names, to):
            name = f"{'+'.join(given)}->{to}"
            accuracy = report.get(to, {}).get("real")
            found[name] = _direction(subject, judges, given, to, real, accuracy)
    return found


class _Real:
    """Real items of a target: for variance and likeness, and for what is retrieved."""

    def __init__(self, subject: Subject, to: str, judge: Any) -> None:
        rows = subject.test_rows(to, subject.options.gallery)
        self.items = features_of(subject.data, to, rows)
        self.labels = subject.data[to].labels[rows]
        self.train = spread(subject.data[to].rows("train"), subject.options.train_rows)
        self.codes = subject.shared(to, self.train)
        self.likeness = Likeness(subject, to, judge)


def _direction(
    subject: Subject,
    judges: Judges,
    given: tuple[str, ...],
    to: str,
    real: _Real,
    accuracy: float | None,
) -> dict[str, Any]:
    items, labels = _queries(subject, given)
    samples = max(subject.options.samples, -(-_LEAST // len(labels)))
    drawn = subject.translated(items, to, samples=samples)
    each = drawn.shape[1]
    flat, wanted = drawn.flatten(0, 1), np.repeat(labels, each)
    judge = judges.of[to]
    found = cross_coherence(
        judge.labels(flat),
        wanted,
        judge_accuracy=accuracy,
        conditions=np.repeat(np.arange(len(labels)), each),
        seed=subject.options.seed,
    )
    report: dict[str, Any] = {
        "coherence": found.coherence,
        "interval": [found.interval.low, found.interval.high],
        "relative": found.relative,
        "variance_ratio": _variance(flat, wanted, real),
        "per_class": list(found.per_class),
        "queries": len(labels),
        "draws": each,
        "mean": _scored(judge, subject.translated(items, to)[:, 0], labels, real),
        "retrieve_then_decode": _scored(judge, _retrieved(subject, items, to, real), labels, real),
    }
    report |= real.likeness.report(flat)
    if isinstance(judge, WordJudge):
        report["exact"] = _share(judge.exact(flat), wanted)
    some = np.linspace(0, len(flat) - 1, min(len(flat), subject.options.round_trip)).astype(
        np.int64
    )
    again = heard_again(subject, to, flat[torch.from_numpy(some)])
    if again is not None:
        report["heard"] = _share(judge.labels(again), wanted[some])
        report["before_hearing"] = _share(judge.labels(flat[torch.from_numpy(some)]), wanted[some])
    return report


def _queries(subject: Subject, given: tuple[str, ...]) -> tuple[dict[str, Tensor], Labels]:
    """Return test items to translate: of one modality all of them, of several the pair table's."""
    if len(given) == 1:
        rows = subject.test_rows(given[0], subject.options.queries)
        return {given[0]: subject.items(given[0], rows)}, subject.data[given[0]].labels[rows]
    table = subject.table("test", subject.options.queries)
    labels = subject.data.row_labels(table)
    table, labels = table[labels >= 0], labels[labels >= 0]
    places = {name: subject.data.names.index(name) for name in given}
    return {name: subject.items(name, table[:, i]) for name, i in places.items()}, labels


def _retrieved(subject: Subject, items: dict[str, Tensor], to: str, real: _Real) -> Tensor:
    """Return the reconstruction of the training item whose shared code is nearest."""
    codes = subject.model.encode(items).shared.double().cpu().numpy()
    close = nearest(unit_rows(real.codes), unit_rows(codes), 1).index[:, 0]
    own = subject.encoded(to, real.train)
    chosen = torch.from_numpy(close)
    private = {to: own.private[to][chosen]} if to in own.private else None
    return subject.model.decode(own.shared[chosen], private, [to])[to]


def _scored(judge: Any, made: Tensor, wanted: Labels, real: _Real) -> dict[str, Any]:
    found: dict[str, Any] = {
        "coherence": cross_coherence(judge.labels(made), wanted).coherence,
        "variance_ratio": _variance(made, wanted, real),
    }
    if isinstance(judge, WordJudge):
        found["exact"] = _share(judge.exact(made), wanted)
    return found


def _variance(made: Tensor, wanted: Labels, real: _Real) -> float | None:
    """Return variance inside classes over the real one; None for symbols, and without two items."""
    if not made.is_floating_point() or max(np.bincount(wanted)) < 2:
        return None
    both = np.intersect1d(wanted, real.labels)
    if not len(both) or max(np.bincount(real.labels)) < 2:
        return None
    return diversity(made.flatten(1), wanted, real.items, real.labels).ratio
