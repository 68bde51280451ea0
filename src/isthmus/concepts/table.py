"""All concepts of a dictionary: by number, by name, in order."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from isthmus.concepts.concept import Concept
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from os import PathLike

    from isthmus.concepts.report import NameReport

__all__ = ["Concepts", "Names"]

_NUMBER = re.compile(r"#?(\d+)")
_SHOWN = 20
_PART = "·"


class Names:
    """Names of the N concepts of a dictionary, and nothing else: what a search needs of them.

    Parameters
    ----------
    names
        The name of each concept; None where it has none.
    dead
        Concepts that are never active.

    Examples
    --------
    >>> names = Names(["cooking", "cook time", "tennis · Wimbledon", None])
    >>> names.find("cooking"), names.find("Wimbledon"), names.find("#3")
    (0, 2, 3)
    >>> names.matching("cook")
    (0, 1)
    """

    def __init__(self, names: Sequence[str | None], dead: Sequence[int] = ()) -> None:
        self.names = tuple(names)
        self.dead = frozenset(dead)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, concept: int) -> str | None:
        return self.names[concept]

    def matching(self, text: str) -> tuple[int, ...]:
        """Return the concepts that a text may mean, by the strictest sense in which any does.

        In this order: a number ("123" or "#123"); the whole name, letter by letter; the whole
        name in any case; one of its parts; its beginning; any piece of it.

        Raises
        ------
        ConfigError
            If a number is not one of the concepts'.
        """
        number = _NUMBER.fullmatch(text.strip())
        if number is not None:
            return (self._numbered(int(number[1])),)
        wanted = text.strip()
        folded = wanted.casefold()
        senses: tuple[Callable[[str], bool], ...] = (
            lambda name: name == wanted,
            lambda name: name.casefold() == folded,
            lambda name: folded in (part.strip() for part in name.casefold().split(_PART)),
            lambda name: name.casefold().startswith(folded),
            lambda name: folded in name.casefold(),
        )
        for sense in senses if wanted else ():
            found = [j for j, name in enumerate(self.names) if name is not None and sense(name)]
            if found:
                return tuple(found)
        return ()

    def find(self, text: str) -> int:
        """Return the one concept that a text means; see `matching`.

        Raises
        ------
        ConfigError
            If it means none (similar names are given) or several (all are listed).
        """
        found = self.matching(text)
        if len(found) == 1:
            return found[0]
        if not found:
            raise self._unknown(text)
        listed = [f"#{j} {self.names[j]}" for j in found[:_SHOWN]]
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ConfigError(
            f"{text!r} is the name of {len(found)} concepts, or part of it",
            why=", ".join(listed) + more,
            fix=f"write the whole name, or the number: #{found[0]}",
        )

    def _numbered(self, number: int) -> int:
        if number >= len(self.names):
            raise ConfigError(
                f"there is no concept #{number}", why=f"the last is #{len(self.names) - 1}"
            )
        return number

    def _unknown(self, text: str) -> ConfigError:
        pieces: dict[str, str] = {}
        for name in self.names:
            for piece in (name, *name.split(_PART)) if name is not None else ():
                pieces.setdefault(piece.strip().casefold(), name or "")
        close = difflib.get_close_matches(text.strip().casefold(), pieces, n=5, cutoff=0.6)
        near = list(dict.fromkeys(pieces[piece] for piece in close))
        return ConfigError(
            f"no concept is called {text!r}",
            why=f"similar names: {', '.join(near)}" if near else "no name is like it",
            fix="list the concepts, or give one by its number (#12)",
        )


class Concepts(Sequence[Concept]):
    """The N concepts of a dictionary, in the order of its latents.

    Parameters
    ----------
    concepts
        One a latent, numbered from 0.
    passages
        Passages that they were worked out on.
    report
        How good the names are; None: none were made.

    Raises
    ------
    ConfigError
        If the numbers are not 0, 1, 2, ...
    """

    def __init__(
        self, concepts: Sequence[Concept], passages: int, report: NameReport | None = None
    ) -> None:
        if any(concept.id != j for j, concept in enumerate(concepts)):
            raise ConfigError("concepts must be given in the order of their latents, all of them")
        self._all, self.passages, self.report = tuple(concepts), passages, report
        self.names = Names([c.name for c in self._all], [c.id for c in self._all if c.dead])

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, concept: int) -> Concept:  # type: ignore[override]
        return self._all[concept]

    def __iter__(self) -> Iterator[Concept]:
        return iter(self._all)

    def find(self, text: str) -> Concept:
        """Return the one concept that a text means; see `Names.find`."""
        return self._all[self.names.find(text)]

    def matching(self, text: str) -> tuple[Concept, ...]:
        """Return the concepts that a text may mean; see `Names.matching`."""
        return tuple(self._all[j] for j in self.names.matching(text))

    def roots(self) -> tuple[Concept, ...]:
        """Return the concepts with children and without a parent, the most frequent first."""
        found = [c for c in self._all if c.children and c.parent is None]
        return tuple(sorted(found, key=lambda c: (-c.statistics.passages, c.id)))

    def replaced(self, changed: Sequence[Concept]) -> Concepts:
        """Return the table with some concepts in place of those with their numbers."""
        new = {concept.id: concept for concept in changed}
        return Concepts([new.get(c.id, c) for c in self._all], self.passages, self.report)

    def with_stability(self, stability: Sequence[float | None]) -> Concepts:
        """Return the table with each concept's stability; see `stability_of`."""
        pairs = zip(self._all, stability, strict=True)
        return self.replaced([replace(concept, stability=value) for concept, value in pairs])

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the table into a folder; see `isthmus.concepts.storing`."""
        from isthmus.concepts.storing import save

        save(self, folder)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Concepts:
        """Read a table that `save` wrote.

        Raises
        ------
        RunError
            If it is missing, damaged or of a newer format.
        """
        from isthmus.concepts.storing import load

        return load(folder)
