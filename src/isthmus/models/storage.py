"""Saving and loading the Hugging Face way: config.json, model.safetensors, a model card."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from isthmus._version import __version__
from isthmus.bottlenecks import BOTTLENECKS
from isthmus.configs import from_json, to_json
from isthmus.data.preprocessing import Preprocessing
from isthmus.errors import ConfigError, MissingDataError, RunError, in_a_line
from isthmus.files import read_json, write_json, write_text, written_whole
from isthmus.likelihoods import LIKELIHOODS
from isthmus.models.autoencoder import Autoencoder
from isthmus.models.corruption import CORRUPTIONS
from isthmus.networks import NETWORKS

__all__ = [
    "FORMAT",
    "fill",
    "folder_of",
    "load",
    "model_card",
    "model_config",
    "push",
    "read_head",
    "read_tensors",
    "save",
    "save_weights",
]

FORMAT = 1


class Savable(Protocol):
    """What can be pushed to a hub."""

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write the model into a folder."""


CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


def model_config(model: Autoencoder) -> dict[str, Any]:
    """Return everything but the weights, as JSON values."""
    return {
        "kind": "Autoencoder",
        "shape": list(model.shape),
        "network": to_json(model.network) if model.network is not None else None,
        "bottleneck": to_json(model.bottleneck),
        "likelihood": to_json(model.likelihood),
        "corruption": to_json(model.corruption) if model.corruption is not None else None,
        "preprocessing": model.preprocessing.config(),
        "seed": model.seed,
    }


def save(model: Autoencoder, folder: str | PathLike[str]) -> None:
    """Write ``config.json``, ``model.safetensors`` and a model card into ``folder``.

    Raises
    ------
    RunError
        If a file can't be written; what was there before is unchanged.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    save_weights(model, place)
    head = {"format": FORMAT, "isthmus": __version__, "model": model_config(model)}
    write_json(place / CONFIG, head)
    if not (place / CARD).exists():
        write_text(place / CARD, model_card(model))


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write ``model.safetensors`` alone."""
    from safetensors.torch import save_file

    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with written_whole(folder / WEIGHTS) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})


def load(
    source: str | PathLike[str],
    *,
    encoder: nn.Module | None = None,
    decoder: nn.Module | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    device: str | torch.device = "cpu",
) -> Autoencoder:
    """Load a model from a folder, or from a hub repository "owner/name".

    Parameters
    ----------
    encoder, decoder
        The user's own halves, where the model was built with such; their weights are filled in.
    revision, local_files_only
        For a hub repository: which commit, and whether to stay off the network (as
        ``ISTHMUS_OFFLINE=1`` and ``HF_HUB_OFFLINE=1`` also say).

    Raises
    ------
    RunError
        If a file is missing, damaged, or of a newer format.
    ConfigError
        If the model needs halves that were not given.
    """
    folder = folder_of(source, revision, local_files_only)
    config = read_head(folder)
    try:
        model = _built(config["model"], encoder, decoder)
    except ConfigError as error:
        where = str(folder / CONFIG)
        raise ConfigError(error.what, where=where, why=error.why, fix=error.fix) from error
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, OverflowError) as error:
        raise RunError(
            "the configuration is damaged", where=str(folder / CONFIG), why=repr(error)
        ) from error
    fill(model, read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    return model.to(device).eval()


def read_head(folder: Path) -> dict[str, Any]:
    """Read ``config.json``, refusing a format that this version does not know.

    Raises
    ------
    RunError
        If it is missing, damaged or of a newer format.
    """
    config = read_json(folder / CONFIG)
    written = config.get("format")
    if not isinstance(written, int) or written < 1 or written > FORMAT:
        raise RunError(
            f"the format {written!r} is unknown to this version",
            where=str(folder / CONFIG),
            why=f"isthmus {__version__} reads formats 1 to {FORMAT}",
            fix="update isthmus, or write the model again with this version",
        )
    return config


def _built(
    config: Mapping[str, Any], encoder: nn.Module | None, decoder: nn.Module | None
) -> Autoencoder:
    if config["network"] is None and encoder is None:
        raise ConfigError(
            "this model was built from the user's own encoder and decoder",
            fix="give them again: from_pretrained(folder, encoder=..., decoder=...)",
        )
    corruption = config["corruption"]
    own = config["network"] is None
    # tensors without memory, filled from the file: a hostile size costs nothing before it is
    # found not to fit; the user's own halves exist already and are run once as a check
    with contextlib.nullcontext() if own else torch.device("meta"):
        model = Autoencoder(
            tuple(config["shape"]),
            "mlp" if own else from_json(config["network"], NETWORKS),
            from_json(config["bottleneck"], BOTTLENECKS),
            from_json(config["likelihood"], LIKELIHOODS),
            None if corruption is None else from_json(corruption, CORRUPTIONS),
            encoder=encoder if own else None,
            decoder=decoder if own else None,
            seed=config["seed"],
        )
        model.preprocessing = Preprocessing.from_config(config["preprocessing"])
    return model


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises
    ------
    RunError
        If it is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise RunError("the file is missing", where=str(path))
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(
            "the file is damaged: it is no whole safetensors file",
            where=str(path),
            why=str(error),
            fix="copy it again, or resume the run from its checkpoint",
        ) from error


def fill(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Give a model the tensors of a file, refusing any that don't fit or aren't finite.

    Raises
    ------
    RunError
        If a tensor is missing, unknown, of another shape or type, or holds NaN.
    """
    own = model.state_dict()
    missing, unknown = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    wrong = [k for k in own if k in state and _kind(own[k]) != _kind(state[k])]
    if missing or unknown or wrong:
        name = (missing or unknown or wrong)[0]
        what = (
            "is missing"
            if missing
            else "is not the model's"
            if unknown
            else "has another shape or type"
        )
        raise RunError(f"the weights don't fit the configuration: {name} {what}", where=str(path))
    # a threshold that was never set is NaN by design; weights never are
    parameters = {name for name, _ in model.named_parameters()}
    for name in sorted(parameters & set(state)):
        if not bool(state[name].isfinite().all()):
            raise RunError(f"the weights hold NaN or infinite values: {name}", where=str(path))
    model.load_state_dict({k: v.clone() for k, v in state.items()}, assign=True)


def _kind(value: Tensor) -> tuple[torch.Size, torch.dtype]:
    return value.shape, value.dtype


def folder_of(source: str | PathLike[str], revision: str | None, local_only: bool) -> Path:
    """Return a folder as it is, or fetch a hub repository "owner/name" into the cache.

    Raises
    ------
    MissingDataError
        If it is neither.
    """
    place = Path(source)
    if place.is_dir():
        return place
    name = str(source)
    if place.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise MissingDataError(
            "there is no such folder", where=name, fix="give a run's folder, or a hub's owner/name"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    offline = local_only or os.environ.get("ISTHMUS_OFFLINE") == "1"
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                local_files_only=offline,
                allow_patterns=[CONFIG, WEIGHTS, CARD],
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise MissingDataError(
            f"{name} is neither a folder here nor a repository that could be read",
            why=in_a_line(error),
            fix="check the name and the network; or give a folder",
        ) from error


def push(
    model: Savable, repository: str, *, private: bool = False, token: str | None = None
) -> str:
    """Upload the model to a hub repository, made where it does not exist, and return its address.

    Parameters
    ----------
    token
        Default: what ``huggingface_hub`` finds (``HF_TOKEN`` or its login); never written.
    """
    import tempfile

    from huggingface_hub import HfApi

    if os.environ.get("ISTHMUS_OFFLINE") == "1":
        raise ConfigError("ISTHMUS_OFFLINE=1 forbids uploads", fix="unset it")
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        api = HfApi(token=token)
        url = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder)
    return str(url)


def model_card(model: Autoencoder, body: str = "") -> str:
    """Return a filled model card in Markdown with the hub's front matter."""
    lines = "\n".join(f"- {line}" for line in model.describe())
    return f"""---
library_name: isthmus
tags: [autoencoder, isthmus]
---

# Autoencoder {"x".join(map(str, model.shape))} to {model.latent}

- network: `{model.network if model.network is not None else "the user's own halves"}`
- bottleneck: `{model.bottleneck}`
- likelihood: `{model.likelihood}`
- parameters: {model.parameters_count:,}
- preprocessing: {model.preprocessing.describe()}

What the objective amounts to:

{lines}
{body}
## Use

```python
import isthmus as im

model = im.Autoencoder.from_pretrained("PATH")  # this folder
codes = model.encode(samples)        # (N, {model.latent})
samples = model.decode(codes)        # raw units
```
"""
