"""sparsify (EleutherAI): ``cfg.json`` and ``sae.safetensors``; latent-sae's first versions too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from isthmus.errors import DataError
from isthmus.models.foreign.layout import ReadOptions, stored_note, unsupported
from isthmus.models.foreign.record import Imported, Kind, Source
from isthmus.models.foreign.settings import Settings, peek
from isthmus.models.foreign.weights import Weights, open_safetensors

__all__ = ["Sparsify", "linear_parts"]

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
_KINDS: Mapping[tuple[str, bool], Kind] = MappingProxyType(
    {("topk", False): "topk", ("groupmax", False): "groupmax", ("topk", True): "abstopk"}
)


@dataclass(frozen=True)
class Sparsify:
    """Reads what ``SparseCoder.save_to_disk`` wrote."""

    name: str = "sparsify"
    """The layout's name."""
    files: str = f"{CONFIG} and {WEIGHTS}"
    """The files by which it is known."""

    def find(self, path: Path) -> Path | None:
        """Return the folder that holds the two files, unless latent-sae wrote them."""
        folder = path.parent if path.name in {WEIGHTS, CONFIG} else path
        ours = (folder / WEIGHTS).is_file() and "sae_type" not in peek(folder / CONFIG)
        return folder if ours else None

    def read(self, place: Path, options: ReadOptions) -> Imported:
        """Read the folder."""
        settings = Settings.read(place / CONFIG)
        for part, why in (
            ("transcode", "it predicts a layer's output from its input"),
            ("skip_connection", "it adds a dense linear map of its input to the reconstruction"),
        ):
            if settings.flag(part, False):
                raise unsupported(settings.path, f"a model with {part!r}", why)
        weights = open_safetensors(place / WEIGHTS, options.limit)
        weights.only("encoder.weight", "encoder.bias", "W_dec", "b_dec")
        choice = settings.text("activation", "topk"), settings.flag("signed", False)
        if choice not in _KINDS:
            raise unsupported(
                settings.path, f"the activation {choice[0]!r}", "known are topk and groupmax"
            )
        source = Source("sparsify", choice[0], place)
        return linear_parts(settings, weights, source, _KINDS[choice], settings.integer("k"))


def linear_parts(
    settings: Settings, weights: Weights, source: Source, kind: Kind, k: int
) -> Imported:
    """Return the dictionary that both libraries share: the input shifted, decoder rows as here."""
    latents, dim = weights.shape("encoder.weight", 2)
    settings.same("d_in", dim)
    if settings.has("num_latents") and settings.integer("num_latents"):
        settings.same("num_latents", latents)
    elif settings.has("expansion_factor") and settings.integer("expansion_factor") * dim != latents:
        raise DataError(
            "the configuration does not fit the weights",
            where=f"{settings.path}, expansion_factor",
            why=f"{settings.integer('expansion_factor')} x {dim} is not {latents:,} latents",
            fix="copy the checkpoint again: these two files are not of one model",
        )
    return Imported(
        encoder_ND=weights.take("encoder.weight", latents, dim),
        bias_N=weights.take("encoder.bias", latents),
        decoder_ND=weights.take("W_dec", latents, dim),
        pre_bias_D=weights.take("b_dec", dim),
        kind=kind,
        source=replace(source, stored=weights.stored("encoder.weight")),
        k=k,
        notes=stored_note(weights, "encoder.weight"),
    )
