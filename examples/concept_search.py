"""Where the first notes were heading: texts, a concept-rich code, retrieval and an answer.

    python examples/concept_search.py                     # documentation of installed packages
    python examples/concept_search.py notes/ "how to bake bread"
    python examples/concept_search.py --quick             # seconds, without a language model

The index goes to runs/examples/texts.index; a second run embeds only what is new.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import isthmus as im
from isthmus.answers import quoted_answer


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", nargs="?", default="docstrings")
    parser.add_argument("question", nargs="?", default="How do I read a file line by line?")
    parser.add_argument("--quick", action="store_true", help="300 documents, lexical vectors")
    parser.add_argument("--out", type=Path, default=Path("runs/examples/texts.index"))
    asked = parser.parse_args(argv)

    # 1. Texts to passages, passages to vectors, vectors to a sparse code of a few concepts each.
    limit = {"limit": 300 if asked.quick else 2000} if asked.corpus == "docstrings" else {}
    corpus = im.corpus(asked.corpus, **limit)
    index = im.index(corpus, asked.out, embedder="lexical" if asked.quick else None)
    print(f"{len(index):,} passages, {index.latents:,} concepts, {index.embedder.description}\n")

    # 2. The concepts, named without a language model; each name was scored on held-out passages.
    named = [concept for concept in index.concepts if concept.name and concept.score]
    for concept in sorted(named, key=lambda c: -c.score.precision)[:8]:
        print(f"  #{concept.id:<5}{concept.name}  (precision {concept.score.precision:.2f})")

    # 3. Retrieval: every score is a sum over the concepts that query and passage share.
    found = index.search(asked.question, limit=3)
    print(f"\n{asked.question}")
    for hit in found.hits:
        reasons = ", ".join(f"{c.name or c.id} {c.contribution:+.2f}" for c in hit.concepts[:3])
        print(f"  {hit.score:7.3f}  {hit.id}  because of {reasons}")

    # 4. Steering: the same query without the concept that spoke loudest.
    if found.concepts:
        loudest = found.concepts[0]
        print(f"\nwithout {loudest.name or loudest.id}")
        for hit in index.search(asked.question, limit=3, without=[loudest.id]).hits:
            print(f"  {hit.score:7.3f}  {hit.id}")

    # 5. Response generation that can't misquote: an answer made of quotations.
    hits = index.search(asked.question, by="hybrid", limit=3).hits
    print(f"\n{quoted_answer(asked.question, hits, embedder=index.embedder).show()}")


if __name__ == "__main__":
    main()
