"""What a full stop does not end, and what a sentence usually begins with, in English."""

from __future__ import annotations

__all__ = ["ANYWHERE", "BEFORE_NUMBERS", "INSIDE", "STARTERS"]


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


INSIDE = _listed(
    """dr mr mrs ms prof st sr rev hon gen col capt lt sgt maj cmdr adm gov sen rep pres messrs mt
    e.g eg i.e ie cf vs v viz resp approx incl esp ca dept univ assn bros"""
)
"""Abbreviations that announce something: they never end a sentence."""
BEFORE_NUMBERS = _listed(
    """fig figs eq eqs eqn eqns no nos vol vols sec secs sect ch chap p pp ref refs tab art par
    thm lem prop def ex jan feb mar apr jun jul aug sep sept oct nov dec"""
)
"""Abbreviations that a number usually follows."""
ANYWHERE = _listed("al etc inc ltd co corp jr ph.d ave blvd rd eds subsp spp sp var")
"""Abbreviations that stand inside and at the end of sentences."""
STARTERS = _listed(
    """the a an this that these those it its he she they we you i there here in on at by for from
    to with when while if but and however although after before since because as our their his
    her my your no not all some many most both one two thus therefore then what why how who where
    which is are was were do does did can another each such moreover furthermore"""
)
"""Words that begin a sentence where they stand behind an abbreviation with a capital."""
