"""The named corpora: texts, some with judged queries."""

from __future__ import annotations

from isthmus.data.entries import Entry
from isthmus.data.fetching import Checksum, RemoteFile

__all__ = ["CORPORA"]

_BEIR = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")


def _judged(name: str, title: str, licence: str, repository: str) -> Entry:
    """Return a judged collection that its official address serves in a form of its own."""
    return Entry(
        name,
        title,
        licence,
        kind="corpus",
        holds=_BEIR,
        by_hand=f"github.com/{repository} has it in a form of its own; rewrite it in BEIR's layout "
        "(corpus.jsonl with _id, title, text; queries.jsonl with _id, text; qrels/test.tsv)",
    )


def _topics(name: str, title: str, licence: str, repository: str) -> Entry:
    """Return a file of short texts with labels."""
    return Entry(
        name,
        title,
        licence,
        kind="corpus",
        folder="text-topics",
        holds=(f"{name}.jsonl",),
        by_hand=f"github.com/{repository} has it in a form of its own; rewrite it as JSON lines "
        "with id, text and label",
    )


CORPORA: tuple[Entry, ...] = (
    Entry(
        "docstrings",
        "documentation strings of the installed Python packages",
        "those of the packages",
        kind="corpus",
        comes_with="the installed packages",
    ),
    Entry(
        "scifact",
        "5,183 abstracts (medicine, biology), 300 judged claims",
        "CC BY 4.0 (claims), ODC-By 1.0 (abstracts); D. Wadden et al.",
        kind="corpus",
        holds=_BEIR,
        bases=("https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/",),
        # the MD5 that BEIR's own table of data sets gives
        archive=RemoteFile("scifact.zip", Checksum("md5", "5f7d1de60b170fc8027bb7898e2efca1")),
    ),
    _judged(
        "cranfield",
        "1,398 abstracts (aerodynamics), 225 judged questions",
        "none stated; research (C. Cleverdon)",
        "olivernn/cranfield",
    ),
    _judged(
        "xquad-en",
        "240 paragraphs of Wikipedia, 1,190 judged questions (easy)",
        "CC BY-SA 4.0 (Google DeepMind)",
        "google-deepmind/xquad",
    ),
    _topics(
        "opentriviaqa",
        "49,203 trivia questions, 22 categories",
        "CC BY-SA 4.0",
        "uberspot/OpenTriviaQA",
    ),
    _topics(
        "clinc150",
        "23,700 requests to an assistant, 150 intents",
        "CC BY 3.0",
        "clinc/oos-eval",
    ),
    _topics(
        "stackoverflow_titles",
        "20,000 titles of questions about programming, 20 tags",
        "CC BY-SA (Stack Overflow)",
        "rashadulrakib/short-text-clustering-enhancement",
    ),
    _topics(
        "wikipedia_movies",
        "34,263 summaries of American films, 41 genres",
        "CC BY-SA (Wikipedia)",
        "prust/wikipedia-movie-data",
    ),
    _topics(
        "arxiv_cs_2025",
        "22,632 abstracts of computer science, 31 fields",
        "CC0 (arXiv's metadata)",
        "dparedesi/ArXiv",
    ),
)
"""Every named corpus."""
