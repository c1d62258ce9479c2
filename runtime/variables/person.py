"""Names of people: out of what frames them, spelled ones joined, capitals where they belong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar, Final

from typing_extensions import override

from runtime.variables.spec import Accepted, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.text import clean, contains_words, letters_only, strip_fillers, word_set

__all__ = ["PersonName"]

_MOST: Final = 100
_HEARD: Final = 400  # characters of a sentence that may hold a name
_MARK: Final = "\0"  # stands before a word that was spelled; clean text has none
_LEAD: Final = re.compile(
    r"^(?:(?:um|uhm|uh|er|erm|so|well|oh|yes|yeah|sure|okay|ok|hi|hello|hey|my|full|first|last|family|second|sur)(?:[\s,]+|$)"
    r"|(?:the )?(?:name|surname)(?:'s| is| would be)?\b|(?:it|that|this|he|she|i)(?:'s|'m| is| am| would be)(?:\s|$)"
    r"|(?:you can |please )?call me\b|(?:speaking with|spelled|spelt|is|and it's)(?:\s|$)"
    r"|mein name ist\b|ich (?:bin|heiße)\b|je m'appelle\b|je suis\b|me llamo\b|mi nombre es\b|mi chiamo\b)",
    re.IGNORECASE,
)
_TRAIL: Final = re.compile(
    r"[\s,]+(?:please|speaking|here|thanks|thank you|spelled|spelt|that's|bitte|am apparat|is my name|(?:calling|from|with)\b.*)[.!]?$",
    re.IGNORECASE,
)
_SPELLED: Final = re.compile(r"(?<![\w'.])\w(?:[\s,.;-]+\w(?![\w'.])){2,}(?![\w'])")
_ALLOWED: Final = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '.\-·]|[\u0300-\u036f])*")
_PARTICLES: Final = word_set("von van de der den del della di da dos du la le zu zum zur ten ter bin ibn al af av y e")
_NOT_NAMES: Final = word_set(
    "i you he she we they a an the my your is are am was be have has had do does don't can't want need like would could",
    "question questions invoice order problem help why what when where how who not no yes nope this that it and or but",
    "with about for from please speak talk can if because",
)


class PersonName(DataType):
    """What somebody is called. Given capitals stay (McDonald); an all-small or all-capital name gets its own."""

    name: ClassVar[str] = "person_name"
    hint: ClassVar[str] = "the name only"

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        if not isinstance(raw, str):
            return Rejected("not_a_name", "must be a name given as text")
        if len(raw) > _HEARD:
            return Rejected("too_long", f"must have at most {_MOST} characters")
        name = _assembled(letters_only(strip_fillers(raw, _LEAD, _TRAIL)))
        words = name.lower().replace(".", "").split()
        if not _ALLOWED.fullmatch(name) or len(words) > 8 or _NOT_NAMES.intersection(words):
            return Rejected("not_a_name", "must be a person's name only, without other words or figures")
        return Accepted(name) if len(name) <= _MOST else Rejected("too_long", f"must have at most {_MOST} characters")

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        spelled = (_capital(_joined(found[0])) for found in _SPELLED.finditer(letters_only(clean(text))))
        read = (self.read(said, spec, context) for said in (text, *spelled))
        return list(dict.fromkeys(result.value for result in read if isinstance(result, Accepted)))

    @override
    def holds(self, text: str, value: Json, spec: VariableSpec, context: Context) -> bool:
        joined = _SPELLED.sub(lambda found: _joined(found[0]), letters_only(clean(text)))
        heard = contains_words(text, str(value)) or contains_words(joined, str(value))
        return heard or value in self.find(text, spec, context)

    @override
    def partial(self, text: str, spec: VariableSpec, context: Context) -> bool:
        return bool(
            re.search(r"(?<![\w'])\w[\s,.-]+\w[\s,.…]*$|\b(?:name is|spelled|spelt)[\s,.…]*$", clean(text).lower())
        )

    @override
    def spelled(self, value: Json, spec: VariableSpec, language: str) -> str:
        return "; ".join(", ".join(char.upper() for char in word) for word in str(value).split())

    @override
    def words(self, spec: VariableSpec) -> Iterable[str]:
        return (*"abcdefghijklmnopqrstuvwxyz", "my", "name", "is", "spelled")


def _joined(letters: str) -> str:
    return "".join(re.findall(r"\w", letters))


def _assembled(text: str) -> str:
    """Return the name with spelled letters joined; a word that is then spelled stands once."""
    whole = re.fullmatch(r"\w[\s,.-]+\w", text)
    joined = _joined(text) if whole else _SPELLED.sub(lambda found: f"{_MARK}{_joined(found[0])}", text)
    joined = re.sub(r"\b(?:that's|spelled|spelt)\b|,", " ", joined, flags=re.IGNORECASE)
    words: list[str] = []
    for word in joined.split():
        plain = word.removeprefix(_MARK)
        if not words or word == plain or words[-1].lower() != plain.lower():
            words.append(plain)
    return _cased(words)


def _cased(words: list[str]) -> str:
    text = " ".join(words)
    if text != text.lower() and (text != text.upper() or max(map(len, words)) == 1):
        return text
    return " ".join(
        word.lower() if at and word.lower() in _PARTICLES else _capital(word) for at, word in enumerate(words)
    )


def _capital(word: str) -> str:
    return "".join(part[:1].upper() + part[1:].lower() for part in re.split(r"([-'.])", word))
