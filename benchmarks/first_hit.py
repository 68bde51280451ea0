"""From a folder of texts to the first explained hit: one command, no network, nothing prepared.

    ISTHMUS_DATA=... python benchmarks/first_hit.py                  # SciFact's abstracts as files
    python benchmarks/first_hit.py --corpus docstrings --documents 8000

Writes the corpus as one text file a document, then runs ``isthmus search FOLDER QUERY`` with an
empty cache, and tells how long that took: cutting, embedding, dictionary, postings, names, search.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from isthmus.data.corpora import open_corpus

OUT = Path(__file__).resolve().parent / "results" / "first_hit.jsonl"


def written(name: str, limit: int | None, folder: Path) -> int:
    """Write a corpus as files, and return how many there are."""
    options = {} if limit is None else {"limit": limit}
    count = 0
    for count, document in enumerate(open_corpus(name, **options), 1):
        safe = re.sub(r"[^\w.-]", "_", document.id)[:100]
        text = f"{document.title}. {document.text}" if document.title else document.text
        (folder / f"{count:06d}-{safe}.txt").write_text(text, encoding="utf-8")
    return count


def main() -> None:
    """Time the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", default="scifact")
    parser.add_argument("--documents", type=int, default=None)
    parser.add_argument("--query", default="vitamin D and the immune system")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        texts = Path(place) / "texts"
        texts.mkdir()
        count = written(given.corpus, given.documents, texts)
        empty = Path(place) / "home"
        settings = {**os.environ, "ISTHMUS_HOME": str(empty), "ISTHMUS_OFFLINE": "1"}
        command = [sys.executable, "-m", "isthmus", "search", str(texts), given.query, "--json"]
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=place, env=settings, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - began
        if done.returncode:
            raise SystemExit(done.stderr)
        began = time.monotonic()
        subprocess.run(command, cwd=place, env=settings, capture_output=True, check=True)
        again = time.monotonic() - began
        head = json.loads((Path(place) / "texts.index" / "index.json").read_text("utf-8"))
    found = json.loads(done.stdout)
    row = {
        "corpus": given.corpus,
        "documents": count,
        "passages": sum(segment["living"] for segment in head["segments"]),
        "seconds": round(seconds, 1),
        "second_search_seconds": round(again, 1),
        "first_hit": found["hits"][0]["id"],
        "reasons": [c["name"] or c["id"] for c in found["hits"][0]["concepts"][:3]],
        "stages": done.stderr.splitlines(),
    }
    print(json.dumps(row, indent=1))
    with OUT.open("a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
