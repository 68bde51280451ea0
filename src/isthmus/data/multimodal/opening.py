"""`open_multimodal`: from a name or a table of file names to data of several modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from isthmus.data.multimodal.dataset import MultimodalData
from isthmus.data.multimodal.digit_trio import digit_trio, fsdd
from isthmus.data.multimodal.digits_words import digits_words
from isthmus.data.multimodal.missing import with_few_pairs, with_missing
from isthmus.data.multimodal.pairs_file import read_pairs
from isthmus.errors import ConfigError, MissingDataError

__all__ = ["NAMED", "open_multimodal"]

NAMED: Mapping[str, Callable[..., MultimodalData]] = MappingProxyType(
    {"digit-trio": digit_trio, "fsdd": fsdd, "digits-words": digits_words}
)
"""Sets of several modalities by name; add one here."""


def open_multimodal(
    source: str | Path,
    *,
    only: Sequence[str] | None = None,
    missing: float = 0.0,
    pairs_per_class: int = 0,
    **options: Any,
) -> MultimodalData:
    """Open data of several modalities.

    Parameters
    ----------
    source
        ``digit-trio``, ``fsdd``, ``digits-words``, or a CSV file of pairs.
    only
        The modalities to keep; None: all.
    missing
        Share of the training rows' items that are taken away; see :func:`with_missing`.
    pairs_per_class
        Training pairs of each class that are kept as pairs; 0: all. See :func:`with_few_pairs`.
    options
        What the set takes: ``fold``, ``text``, ``front`` for ``digit-trio``; see
        :func:`read_pairs` for a CSV file.

    Raises
    ------
    MissingDataError
        If there is neither a set nor a file of that name.
    ConfigError
        If an option is not one of the set's.
    """
    opener: Callable[..., MultimodalData]
    given: tuple[Path, ...] = ()
    if str(source) in NAMED:
        opener = NAMED[str(source)]
    else:
        path = Path(source).expanduser()
        if not path.is_file():
            raise MissingDataError(
                f"there is no set of several modalities and no file called {str(source)!r}",
                fix=f"named sets are {', '.join(NAMED)}; or give a CSV file of pairs",
            )
        opener, given = read_pairs, (path,)
    import inspect

    known = [
        parameter.name
        for parameter in inspect.signature(opener).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"{source} has no option {unknown[0]!r}", fix=f"it has: {', '.join(known) or 'none'}"
        )
    data = opener(*given, **options)
    data = data if only is None else data.only(list(only))
    data = with_few_pairs(data, pairs_per_class) if pairs_per_class else data
    return with_missing(data, missing) if missing else data
