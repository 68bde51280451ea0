"""A small folder of notes and a folder of judged texts, and their indexes, for the command line."""

import atexit
import functools
import json
import random
import shutil
import tempfile
from pathlib import Path

from cli_tools import succeeded

TOPICS = {
    "cooking": "pasta garlic tomato sauce oven bread butter onion recipe simmer",
    "rail": "train station railway platform locomotive signal carriage track timetable conductor",
    "chess": "bishop knight queen endgame opening pawn castle checkmate gambit grandmaster",
    "garden": "roses compost prune seedling orchard soil watering tulip hedge greenhouse",
    "sailing": "anchor sail harbour mast keel rudder tide lighthouse regatta deck",
    "music": "violin sonata orchestra rhythm piano melody concert cello chord tempo",
}
COMMON = (
    *("people", "often", "find", "that", "several", "old", "ways"),
    *("remain", "useful", "during", "every", "season"),
)
_SMALL = ("--embedder", "lexical", "--dim", "64", "--threads", "1")
QUICK = (*_SMALL, "--epochs", "40", "--latents", "32", "--k", "4")
"""Settings that make an index of these in a second or two."""

FEW = (*_SMALL, "--epochs", "3")
"""Settings that make one where what the concepts are does not matter."""


def records(each=40, seed=0):
    """Texts with a title and metadata, some words of one topic in each."""
    rng = random.Random(seed)
    found = []
    for topic, words in TOPICS.items():
        for number in range(each):
            said = rng.sample(words.split(), 5) + rng.sample(COMMON, 5)
            text = " ".join(rng.sample(said, 10)).capitalize() + "."
            record = {"_id": f"{topic}-{number}", "title": f"{topic} {number}", "text": text}
            found.append({**record, "kind": topic, "n": number})
    return found


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_judged(folder, each=40):
    """Write a folder in BEIR's layout with judgements for training and for testing."""
    (folder / "qrels").mkdir(parents=True)
    write_lines(folder / "corpus.jsonl", records(each))
    rng = random.Random(1)
    queries, splits = [], {"train": [], "test": []}
    for topic, words in TOPICS.items():
        for number in range(8):
            name = f"q-{topic}-{number}"
            queries.append({"_id": name, "text": " ".join(rng.sample(words.split(), 3))})
            split = splits["train" if number % 2 else "test"]
            split += [f"{name}\t{topic}-{n}\t1" for n in range(0, each, 4)]
    write_lines(folder / "queries.jsonl", queries)
    for split, lines in splits.items():
        head = "query-id\tcorpus-id\tscore\n"
        (folder / "qrels" / f"{split}.tsv").write_text(head + "\n".join(lines) + "\n")
    return folder


@functools.cache
def _made():
    """Make the judged texts and their index once for all tests."""
    place = Path(tempfile.mkdtemp(prefix="isthmus-cli-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    judged = write_judged(place / "judged")
    answer = succeeded("index", judged, "--out", place / "judged.index", *QUICK, "--json")
    return place, answer


def judged_folder():
    """The folder of judged texts; not to be changed."""
    return _made()[0] / "judged"


def judged_index():
    """Its index; not to be changed."""
    return _made()[0] / "judged.index"


def judged_answer():
    """What the command said that made it."""
    return _made()[1]


def copied(tmp_path):
    """A copy of the index that may be changed."""
    return Path(shutil.copytree(judged_index(), tmp_path / "copy.index"))


def write_notes(folder, each=6):
    """Write a folder of Markdown files, and one that can't be read."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in records(each):
        (folder / f"{record['_id']}.md").write_text(f"# {record['title']}\n\n{record['text']}\n")
    (folder / "broken.txt").write_bytes(b"\xff\xfe\x00\xd8")
    return folder
