"""What the runtime says by itself, and the caller's words that mean something of their own while the agent speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

from runtime.conversation.wordings import WORDINGS, Wording, wording

__all__ = ["BACKCHANNELS", "LANGUAGES", "PHRASES", "STOPS", "Phrase", "base_language", "folded", "phrase", "phrase_of"]

Phrase: TypeAlias = Wording | Literal["not_heard"]

PHRASES: Final[tuple[Phrase, ...]] = (*get_args(Wording), "not_heard")
LANGUAGES: Final = tuple(WORDINGS)

_NOT_HEARD: Final[Mapping[str, str]] = {
    "en": "I'm sorry, I didn't catch that. Could you say it again, please?",
    "de": "Entschuldigung, das habe ich nicht verstanden. Könnten Sie es bitte noch einmal sagen?",
    "fr": "Excusez-moi, je n'ai pas compris. Pouvez-vous répéter, s'il vous plaît ?",
    "es": "Disculpe, no le he entendido. ¿Puede repetirlo, por favor?",
    "it": "Mi scusi, non ho capito. Può ripetere, per favore?",
}

BACKCHANNELS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("mm-hm", "mhm", "uh-huh", "mm", "mmm", "hm", "hmm", "uh", "um", "ah", "aha", "huh"),
    "de": ("mhm", "mm-hm", "mm", "mmm", "hm", "hmm", "aha", "ah", "äh", "ähm", "öhm", "soso"),
    "fr": ("mhm", "mm-hm", "mm", "mmm", "hm", "hum", "euh", "ah", "heu"),
    "es": ("mhm", "mm-hm", "mm", "mmm", "hm", "ajá", "ah", "eh", "em"),
    "it": ("mhm", "mm-hm", "mm", "mmm", "hm", "ehm", "ah", "eh", "aha"),
}
"""Sounds of somebody who listens, where a config's `turn.interruption.ignore` names none."""

STOPS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        *("stop", "wait", "hold on", "hang on", "pause", "be quiet", "shut up", "enough"),
        *("one moment", "one second", "just a moment", "just a second", "just a minute"),
    ),
    "de": ("stopp", "stop", "halt", "warte", "warten sie", "moment", "einen moment", "augenblick", "ruhe", "pause"),
    "fr": ("stop", "arrêtez", "arrête", "attendez", "attends", "un instant", "un moment", "une seconde", "silence"),
    "es": ("para", "pare", "alto", "basta", "espere", "espera", "un momento", "un segundo", "silencio"),
    "it": ("stop", "ferma", "fermo", "si fermi", "basta", "aspetti", "aspetta", "un attimo", "un momento", "silenzio"),
}
"""What silences the agent at once, however few words a config wants for an interruption."""


def base_language(language: str) -> str:
    """Return `de` for `de-AT`, and English where there are no words in the language."""
    base = language.replace("_", "-").split("-")[0].lower()
    return base if base in WORDINGS else "en"


def phrase(name: Phrase, language: str) -> str:
    """Return the phrase in the language of the tag."""
    return _NOT_HEARD[base_language(language)] if name == "not_heard" else wording(name, language)


def phrase_of(text: str, language: str) -> Phrase | None:
    """Return which phrase the text is, whatever its punctuation."""
    wanted = folded(text)
    return next((name for name in PHRASES if folded(phrase(name, language)) == wanted), None)


def folded(text: str) -> str:
    """Return the text's letters and digits alone, in lower case."""
    return "".join(filter(str.isalnum, text.casefold()))
