"""Answers: quoted from the passages that were found, or written by a model and checked.

Nothing is shown as a quotation that does not stand word for word in the passage it cites.
"""

from __future__ import annotations

from isthmus.answers.answer import Answer
from isthmus.answers.citations import Citation, Verdict
from isthmus.answers.claims import Claim, Draft, check_claims
from isthmus.answers.coverage import Coverage, Covered, coverage
from isthmus.answers.gate import Gate, GateConfig
from isthmus.answers.quoted import quoted_answer
from isthmus.answers.written import WritingConfig, written_answer

__all__ = [
    "Answer",
    "Citation",
    "Claim",
    "Coverage",
    "Covered",
    "Draft",
    "Gate",
    "GateConfig",
    "Verdict",
    "WritingConfig",
    "check_claims",
    "coverage",
    "quoted_answer",
    "written_answer",
]
