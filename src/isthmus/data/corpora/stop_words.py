"""Words that say little by themselves: a short English list of our own."""

from __future__ import annotations

__all__ = ["ENGLISH"]

_PRONOUNS = """a an the i me my mine myself we us our ours ourselves you your yours yourself
yourselves he him his himself she her hers herself it its itself they them their theirs themselves
one this that these those some any each every both either neither none such other others another
same own all few many more most much less least several enough someone anyone everyone something
anything everything nothing"""
_VERBS = """am is are was were be been being have has had having do does did doing done can could
may might must shall should will would ought cannot isn't aren't wasn't weren't hasn't haven't
hadn't doesn't don't didn't can't couldn't won't wouldn't shouldn't mustn't i'm you're he's she's
it's we're they're i've you've we've they've i'd you'd he'd she'd we'd they'd i'll you'll he'll
she'll we'll they'll that's there's here's what's who's where's how's let's"""
_BETWEEN = """of in on at by for with about against between into through during before after above
below to from up down out off over under upon within without via per toward towards among across
along around behind beside besides beyond near since until till and but or nor if then else because
as while although though whereas unless whether than so yet however thus hence therefore moreover
furthermore"""
_QUESTIONS = "what which who whom whose when where why how"
_ADVERBS = """not no only just also too very again further once here there now ever never always
often sometimes already still almost quite rather even well perhaps maybe really etc eg ie cf vs"""

ENGLISH = frozenset(" ".join([_PRONOUNS, _VERBS, _BETWEEN, _QUESTIONS, _ADVERBS]).split())
"""English function words in lower case, with the usual contractions."""
