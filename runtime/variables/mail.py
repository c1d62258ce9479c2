"""E-mail addresses, written or spoken: john dot smith at example dot com."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar, Final

from typing_extensions import override

from runtime.variables.spec import Accepted, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.spoken import DIGIT_WORDS, figures
from runtime.variables.text import clean, letters_only, word_set

__all__ = ["Email"]

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ATOM: Final = r"[a-z0-9_+&'!#$%*/=?^`{|}~-]{1,64}"
_ADDRESS: Final = re.compile(
    rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.){{1,8}}[a-z]{{2,24}}", re.IGNORECASE
)
_WRITTEN: Final = re.compile(r"[^\s@<>()\[\],;:\"]{1,64}@[a-z0-9.-]{1,253}", re.IGNORECASE)
_SYMBOLS: Final = {
    **dict.fromkeys(("dot", "point", "period", "punkt", "punto"), "."),
    **dict.fromkeys(("underscore", "unterstrich"), "_"),
    **dict.fromkeys(("dash", "hyphen", "minus", "bindestrich", "tiret", "guion", "guión", "trattino"), "-"),
    "plus": "+",
    **dict.fromkeys(("at", "ät", "klammeraffe", "arobase", "arroba", "chiocciola"), "@"),
}
_TOKEN: Final = re.compile(r"(?P<sign>[^\W_]+(?:'[^\W_]+)?|(?<=\S)[.](?=\w)|(?<=\s)[.](?=\s)|[@_+-])|[,.;:!?…]")
_STOPS: Final = word_set(
    "my your our the a an is it's its it i'm that's that be would address email e-mail mail yes yeah yep sure okay ok so",
    "well um uh er erm please to me reach send use contact try and or meine die adresse lautet ist mon adresse est mi",
    "correo es indirizzo il la",
)
_HOSTS: Final = word_set("gmail googlemail yahoo outlook hotmail icloud gmx web proton protonmail aol live")
_BREAK: Final = "|"
_JOINED: Final = 3  # plain words that may be one name: john smith at example


class Email(DataType):
    """An address that mail can be sent to; the domain is kept in lower case."""

    name: ClassVar[str] = "email"
    hint: ClassVar[str] = "an e-mail address, or the words as heard (john dot smith at example dot com)"

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        if not isinstance(raw, str):
            return Rejected("not_email", "must be an e-mail address given as text")
        written = _written(raw)
        if len(written) == 1:
            return Accepted(written[0])
        groups = _spoken(raw, context.language) if not written else []
        if len(written) > 1 or len(groups) > 1:
            return Rejected("ambiguous", "must be one e-mail address, got more than one")
        if groups:
            return Accepted(groups[0][0])
        return Rejected(
            "not_email", "must be an e-mail address, with a name, an at sign and a domain such as example.com"
        )

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        spoken = [value for group in _spoken(text, context.language) for value in group]
        return list(dict.fromkeys([*_written(text), *spoken]))

    @override
    def holds(self, text: str, value: Json, spec: VariableSpec, context: Context) -> bool:
        return str(value).lower() in {str(found).lower() for found in self.find(text, spec, context)}

    @override
    def partial(self, text: str, spec: VariableSpec, context: Context) -> bool:
        tokens = _tokens(text, context.language)
        while tokens and tokens[-1] in {_BREAK, "um", "uh", "er", "erm"}:
            tokens.pop()
        if not tokens:
            return False
        if tokens[-1] in "@._-+":
            return len(tokens) > 1
        if "@" not in tokens:
            return _begun(tokens)
        return _lacks_domain(tokens)

    @override
    def suspects(self, text: str, spec: VariableSpec, context: Context) -> bool:
        return "@" in text or bool(re.search(r"\b(?:at|dot)\b|\b(?:[a-z][\s.,-]+){3}", clean(text).lower()))

    @override
    def voiced(self, value: Json, spec: VariableSpec, language: str) -> str:
        return " ".join(
            _said(char) if char in "@._-+" else char for char in re.findall(r"\d|[@._+-]|[^\d@._+-]+", str(value))
        )

    @override
    def spelled(self, value: Json, spec: VariableSpec, language: str) -> str:
        name, _, domain = str(value).partition("@")
        return f"{', '.join(_said(char) for char in name.upper())}, at {self.voiced(domain, spec, language)}"

    @override
    def words(self, spec: VariableSpec) -> Iterable[str]:
        letters = tuple("abcdefghijklmnopqrstuvwxyz")
        return (
            *letters,
            *DIGIT_WORDS,
            "at",
            "dot",
            "dash",
            "underscore",
            "plus",
            "com",
            "org",
            "net",
            "gmail",
            "example",
        )


def _said(char: str) -> str:
    return {".": "dot", "_": "underscore", "-": "dash", "+": "plus", "@": "at"}.get(char, char)


def _kept(address: str) -> str | None:
    name, _, domain = address.rstrip(".-").rpartition("@")
    kept = f"{name}@{domain.lower()}"
    return kept if len(kept) <= 254 and _ADDRESS.fullmatch(kept) else None


def _written(text: str) -> list[str]:
    found = (_kept(match[0].strip("'")) for match in _WRITTEN.finditer(clean(text)))
    return list(dict.fromkeys(value for value in found if value))


def _tokens(text: str, language: str) -> list[str]:
    """Return words, symbols and breaks; a break beside a symbol or within spelled letters is a mere pause."""
    figured = re.sub(
        r"\bat sign\b", "at", re.sub(r"\bunder score\b", "underscore", figures(letters_only(text), language))
    )
    found = [
        _SYMBOLS.get(match["sign"], match["sign"]) if match["sign"] else _BREAK for match in _TOKEN.finditer(figured)
    ]
    return [part for at, part in enumerate(found) if part != _BREAK or not _pause(found, at)]


def _pause(tokens: list[str], at: int) -> bool:
    beside = [part for part in tokens[max(0, at - 1) : at + 2] if part != _BREAK]
    return len(beside) == 2 and (any(part in "@._-+" for part in beside) or all(len(part) == 1 for part in beside))


def _spoken(text: str, language: str) -> list[list[str]]:
    """Return for each address heard its readings, the longest name first."""
    tokens = _tokens(text, language)
    found: list[list[str]] = []
    for at, part in enumerate(tokens):
        if part == "@" and (domain := _domain(tokens[at + 1 :])):
            readings = [_kept(f"{name}@{domain}") for name in _names(tokens[:at])]
            found += [[value for value in readings if value]]
    return [group for group in found if group]


def _names(tokens: list[str]) -> list[str]:
    """Return what may stand before the at sign, longest first: symbols and single letters bind, words may."""
    names: list[str] = []
    name, words = "", 0
    for at in range(len(tokens) - 1, -1, -1):
        part, bound = tokens[at], name[:1] in set("._-+")
        letters = len(part) == 1 and name != "" and len(tokens[at + 1]) == 1
        if part in {_BREAK, "@"} or (part in _STOPS and name and not bound and not letters):
            break
        words += len(part) > 1 and not bound
        if words > _JOINED:
            break
        name = part + name
        spelled = len(part) == 1 and at > 0 and len(tokens[at - 1]) == 1 and tokens[at - 1] != _BREAK
        symbol = part in "._-+" or (at > 0 and tokens[at - 1] in "._-+")
        if not spelled and not symbol:
            names.insert(0, name)
    return names or ([name] if name else [])


def _domain(tokens: list[str]) -> str:
    domain, dots, words = "", 0, 0
    for at, part in enumerate(tokens):
        after_symbol = domain[-1:] in set(".-")
        if part in {_BREAK, "@", "_", "+"}:
            break
        if part in ".-":
            dots += part == "."
        elif dots and not after_symbol and not (len(part) == 1 and len(tokens[at - 1]) == 1):
            break
        elif not after_symbol:
            words += 1
            if words > _JOINED and len(part) > 1:
                break
        domain += part
    return domain.strip(".-") if dots else ""


def _begun(tokens: list[str]) -> bool:
    """Tell whether a name before any at sign has begun: joined by symbols, or at least three spelled letters."""
    if len(tokens) >= 3 and tokens[-2] in "._-+":
        return True
    return len(tokens) >= 3 and all(len(part) == 1 and part.isalpha() for part in tokens[-3:])


def _lacks_domain(tokens: list[str]) -> bool:
    at = len(tokens) - 1 - tokens[::-1].index("@")
    before, after = tokens[:at], tokens[at + 1 :]
    if _BREAK in after or "." in after or not before or len(after) > 2:
        return bool(before) and "." not in after and _BREAK not in after and all(len(part) == 1 for part in after)
    return after[0] in _HOSTS or _begun(before) or (len(before) > 1 and before[-2] in "._-+")
