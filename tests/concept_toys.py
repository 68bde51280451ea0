"""A made corpus whose topics are known, and codes that follow them."""

import numpy as np
from scipy.sparse import csr_array

from isthmus.concepts import Passages, describe

TOPICS = (
    ("anchor", "harbor", "sailing boat"),
    ("violin", "orchestra", "string quartet"),
    ("dough", "yeast", "bread oven"),
    ("galaxy", "telescope", "black hole"),
    ("goalkeeper", "penalty", "soccer field"),
    ("enzyme", "protein", "amino acid"),
    ("treaty", "embassy", "foreign minister"),
    ("glacier", "moraine", "ice sheet"),
)
FILLER = ("today", "people", "often", "speak", "many", "matters", "while", "others", "simply")


def corpus(passages=800, seed=0):
    """Texts of one topic each, and the topic of each."""
    rng = np.random.default_rng(seed)
    topics = rng.integers(0, len(TOPICS), passages)
    texts = []
    for topic in topics:
        said = [w for w in TOPICS[topic] if rng.random() < 0.6] or [TOPICS[topic][0]]
        rest = rng.choice(FILLER, 6).tolist()
        parts = [*said, *rest]
        rng.shuffle(parts)
        texts.append(" ".join(parts).capitalize() + ".")
    return texts, topics


def codes_of(topics, latents=None, seed=0):
    """A concept for each topic, strong on its passages; further ones fire anywhere, weakly."""
    rng = np.random.default_rng(seed)
    latents = latents or len(TOPICS)
    dense = np.zeros((len(topics), latents), np.float32)
    dense[np.arange(len(topics)), topics] = rng.uniform(0.6, 1.0, len(topics))
    noise = rng.random(dense.shape) < 0.03
    dense[noise & (dense == 0)] = 0.05
    return csr_array(dense)


def described(passages=800, latents=None, seed=0, **options):
    texts, topics = corpus(passages, seed)
    return describe(codes_of(topics, latents, seed), Passages.of(texts), **options)
