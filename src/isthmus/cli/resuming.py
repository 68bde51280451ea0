"""Go on with a run from its folder alone: its own data, model and settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus._version import __version__
from isthmus.bottlenecks import BOTTLENECKS
from isthmus.configs import from_json
from isthmus.errors import ConfigError, RunError, in_a_line
from isthmus.files import read_json
from isthmus.likelihoods import LIKELIHOODS
from isthmus.models.corruption import CORRUPTIONS
from isthmus.models.presets import Preset
from isthmus.models.storage import FORMAT
from isthmus.networks import NETWORKS

if TYPE_CHECKING:
    from isthmus.bottlenecks import Bottleneck
    from isthmus.likelihoods import Likelihood
    from isthmus.models.corruption import Masking, Noise
    from isthmus.networks import Network

__all__ = ["Begun", "begun", "check_format"]


class Begun:
    """What a run's ``config.json`` says about how it was begun.

    Attributes
    ----------
    preset
        The model's parts and the training's settings, under the preset's name.
    source
        What was loaded; None for arrays that were in memory.
    load_options
        How it was loaded.
    preprocess
        How raw values were scaled.
    """

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        check_format(config, folder / "config.json")
        try:
            model, data = config["model"], config["data"]
            network: Network = from_json(model["network"], NETWORKS)
            bottleneck: Bottleneck = from_json(model["bottleneck"], BOTTLENECKS)
            likelihood: Likelihood = from_json(model["likelihood"], LIKELIHOODS)
            corruption: Masking | Noise | None = None
            if model["corruption"] is not None:
                corruption = from_json(model["corruption"], CORRUPTIONS)
            training = {k: v for k, v in config["training"].items() if k != "kind"}
            self.preset = Preset(
                str(config.get("preset", "custom")),
                "",
                network,
                bottleneck,
                likelihood,
                corruption,
                training,
            )
            self.source: str | None = data["source"]
            self.load_options: dict[str, Any] = dict(data["options"])
            self.preprocess: str = str(model["preprocessing"]["method"])
        except (KeyError, TypeError, AttributeError, ConfigError) as error:
            raise RunError(
                "this run can't be resumed from its configuration",
                where=str(folder / "config.json"),
                why=in_a_line(error),
                fix="resume it from Python if its halves are your own; else train anew",
            ) from error


def check_format(config: dict[str, Any], path: Path) -> None:
    """Refuse a configuration of a format that this version does not know.

    Raises
    ------
    RunError
        If it is of another format.
    """
    written = config.get("format")
    if not isinstance(written, int) or not 1 <= written <= FORMAT:
        raise RunError(
            f"the format {written!r} is unknown to this version; nothing was changed",
            where=str(path),
            why=f"isthmus {__version__} reads formats 1 to {FORMAT}",
            fix="update isthmus",
        )


def begun(folder: Path) -> Begun:
    """Read how a run was begun.

    Raises
    ------
    RunError
        If the folder holds no run, or its configuration is damaged or of a newer format.
    """
    if not (folder / "config.json").is_file():
        raise RunError("there is no run to resume", where=str(folder), fix="leave --resume off")
    return Begun(read_json(folder / "config.json"), folder)
