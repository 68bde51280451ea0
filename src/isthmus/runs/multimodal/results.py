"""What a run's verbs return, in raw items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["RetrievedItem", "Translated"]


@dataclass(frozen=True)
class RetrievedItem:
    """An item that was found for a query."""

    modality: str
    """Its modality."""
    number: int
    """Its number among the items of the run's data."""
    name: str
    """What it is called, such as its file."""
    score: float
    """Cosine of its shared code with the query's."""
    label: str | None
    """Its class; None where unknown."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "modality": self.modality,
            "item": self.number,
            "name": self.name,
            "score": self.score,
            "class": self.label,
        }


@dataclass(frozen=True, eq=False)
class Translated:
    """What an item becomes in another modality, and how sure that is."""

    item: Any
    """The raw item: picture, sound, text, vector."""
    drawn: tuple[Any, ...]
    """Draws in the same way, where they were asked for."""
    classes: Mapping[str, float]
    """Probability of each class by the joint mixture; empty without one or without classes."""
    entropy: float | None
    """How unsure the mixture is of its component, in nats; None without one."""
    deviation: float | None
    """Mean standard deviation of the target's shared code given the source's; None as above."""
    note: str = ""
    """What should be known of the item, such as that it is the nearest known sentence."""

    def as_json(self) -> dict[str, Any]:
        """Return what is known of the translation, without the items."""
        values: dict[str, Any] = {
            "classes": dict(self.classes),
            "entropy": self.entropy,
            "deviation": self.deviation,
        }
        if isinstance(self.item, str):
            values["text"] = self.item
        return values | ({"note": self.note} if self.note else {})
