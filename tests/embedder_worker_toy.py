"""A worker process without a model: the vector of a text is its length and its first letter."""

import numpy as np

from isthmus.search.embedders.worker import main


def opened(settings):
    print("to the errors, not among the answers")
    width = int(settings["folder"])

    def embed(texts):
        if "fail" in texts:
            raise ValueError("it failed")
        rows = [[len(text), ord(text[:1] or " "), *[0] * (width - 2)] for text in texts]
        return np.array(rows, dtype=np.float32)

    return embed


if __name__ == "__main__":
    main(opened)
