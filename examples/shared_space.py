"""Where the second notes were heading: image, sound and word through one latent space.

    ISTHMUS_DATA=... python examples/shared_space.py      # MNIST, spoken digits, words: 6 minutes
    python examples/shared_space.py --quick               # digits that are always there: seconds

Pictures, sounds and the run go to runs/examples/shared-space.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import isthmus as im
from isthmus.errors import MissingDataError


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the small stand-in")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/shared-space"))
    asked = parser.parse_args(argv)
    try:
        data = im.multimodal("digits-words" if asked.quick else "digit-trio")
    except MissingDataError as error:
        print(f"{error}\nGoing on with digits-words.\n", file=sys.stderr)
        data = im.multimodal("digits-words")

    # 1. Three encoders into one space, three decoders out of it. Any of the three may be missing.
    epochs = {"epochs": asked.epochs or (4 if data.name == "digits-words" else 8)}
    run = im.train("aligned", data, measure=False, progress=True, **epochs)

    # 2. Retrieval: the sounds that match a picture.
    pictures = run.data["image"]
    rows = pictures.rows("test")
    seven = run.item("image", int(rows[np.flatnonzero(pictures.labels[rows] == 7)[0]]))
    for hit in run.retrieve("image", seven, to="audio", top=3):
        print(f"{hit.score:.3f}  {hit.name}  ({hit.label})")

    # 3. Translation: the picture that a word names, the sound of a picture, how sure it is.
    asked.out.mkdir(parents=True, exist_ok=True)
    drawn = run.translate("text", "seven", to="image")
    spoken = run.translate("image", seven, to="audio")
    run.adapter("image").write(drawn.item, asked.out / "seven.png")
    run.adapter("audio").write(spoken.item, asked.out / "seven.wav")
    likeliest = max(spoken.classes, key=lambda name: spoken.classes[name])
    print(f"the sound of the picture: {likeliest} ({spoken.classes[likeliest]:.3f})")

    # 4. The joint representation: two modalities together, a row with one of them missing.
    both = run.encode({"image": seven, "text": "seven"})
    print(f"joint code of picture and word: {tuple(both.shared.shape)}")
    filled = run.complete({"text": "seven"})
    print(f"filled in from the word alone: {', '.join(sorted(filled))}")

    # 5. Does this sound belong to this picture?
    sounds = run.data["audio"]
    numbers = sounds.rows("test")
    for number in [numbers[sounds.labels[numbers] == digit][0] for digit in (7, 4)]:
        sound = run.item("audio", int(number))
        score = run.belongs({"image": seven}, {"audio": sound})[0]
        print(f"{sounds.name_of(int(number))}: {score:+.1f} nats for belonging together")
    print(f"written: {asked.out / 'seven.png'}, {asked.out / 'seven.wav'}")


if __name__ == "__main__":
    main()
