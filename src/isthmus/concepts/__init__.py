"""From a dictionary to concepts: named, scored, related, kept through retraining."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.concepts.asking import Asked, ask_names
    from isthmus.concepts.carrying import Carried, carry_ids, permuted
    from isthmus.concepts.concept import (
        CoFiring,
        Concept,
        Example,
        NameScore,
        Neighbour,
        Statistics,
        Word,
    )
    from isthmus.concepts.describing import Describing, describe
    from isthmus.concepts.diffing import DictionaryDiff, Diffing, Kept, Merged, Split, diff
    from isthmus.concepts.edits import Edit, append_edit, edit_of, read_edits
    from isthmus.concepts.exporting import export_atlas, export_features
    from isthmus.concepts.naming import Naming
    from isthmus.concepts.passages import Passages
    from isthmus.concepts.relations import Relating
    from isthmus.concepts.replaying import Replayed, replay
    from isthmus.concepts.report import NameReport
    from isthmus.concepts.stability import ConceptStability, stability_of
    from isthmus.concepts.storing import as_record, load_names
    from isthmus.concepts.table import Concepts, Names
    from isthmus.concepts.working import Workings

__all__ = [
    "Asked",
    "Carried",
    "CoFiring",
    "Concept",
    "ConceptStability",
    "Concepts",
    "Describing",
    "DictionaryDiff",
    "Diffing",
    "Edit",
    "Example",
    "Kept",
    "Merged",
    "NameReport",
    "NameScore",
    "Names",
    "Naming",
    "Neighbour",
    "Passages",
    "Relating",
    "Replayed",
    "Split",
    "Statistics",
    "Word",
    "Workings",
    "append_edit",
    "as_record",
    "ask_names",
    "carry_ids",
    "describe",
    "diff",
    "edit_of",
    "export_atlas",
    "export_features",
    "load_names",
    "permuted",
    "read_edits",
    "replay",
    "stability_of",
]

_HOMES = {
    "asking": (
        "Asked",
        "ask_names",
    ),
    "carrying": (
        "Carried",
        "carry_ids",
        "permuted",
    ),
    "concept": (
        "CoFiring",
        "Concept",
        "Example",
        "NameScore",
        "Neighbour",
        "Statistics",
        "Word",
    ),
    "describing": (
        "Describing",
        "describe",
    ),
    "passages": ("Passages",),
    "working": ("Workings",),
    "diffing": (
        "DictionaryDiff",
        "Diffing",
        "Kept",
        "Merged",
        "Split",
        "diff",
    ),
    "edits": (
        "Edit",
        "append_edit",
        "edit_of",
        "read_edits",
    ),
    "exporting": (
        "export_atlas",
        "export_features",
    ),
    "naming": ("Naming",),
    "relations": ("Relating",),
    "replaying": (
        "Replayed",
        "replay",
    ),
    "stability": (
        "ConceptStability",
        "stability_of",
    ),
    "storing": (
        "as_record",
        "load_names",
    ),
    "table": (
        "Concepts",
        "Names",
    ),
    "report": ("NameReport",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"isthmus.concepts.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
