"""How English words sound, in the phones of the CMU dictionary; words it lacks are sounded out by their letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import product
from pathlib import Path

from runtime.voice.local.extra import package_folder

__all__ = ["pronunciations", "sound_out"]

Phones = str

_SHORTEST_PART = 3
# Spellings to phones, longest first; a spelling that ends in "$" counts only at the end of the word.
_SPELLINGS: Mapping[str, Phones] = {
    "tion": "SH AH N", "sion": "ZH AH N", "ture": "CH ER", "ough": "AO", "augh": "AO", "eigh": "EY", "igh": "AY",
    "tch": "CH", "dge": "JH", "sch": "SH", "que$": "K", "air": "EH R", "ear": "IH R", "eer": "IH R", "oor": "AO R",
    "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W", "ck": "K", "ng$": "NG", "ng": "NG G", "nk": "NG K",
    "qu": "K W", "kn": "N", "wr": "R", "gh": "G", "mb$": "M", "ee": "IY", "ea": "IY", "ai": "EY", "ay": "EY",
    "oa": "OW", "oo": "UW", "ou": "AW", "ow": "OW", "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO", "ew": "UW",
    "ie": "IY", "ei": "EY", "ey": "IY", "ue": "UW", "ui": "UW", "ar": "AA R", "er": "ER", "ir": "ER", "or": "AO R",
    "ur": "ER", "yr": "IH R", "ce": "S AH", "ci": "S IH", "cy": "S IY", "ge": "JH AH", "gi": "JH IH", "gy": "JH IY",
    "ce$": "S", "ge$": "JH", "se$": "Z", "le$": "AH L", "es$": "Z", "ed$": "D", "o$": "OW", "y$": "IY", "a$": "AH",
    "i$": "IY", "e$": "", "ss": "S", "ll": "L", "tt": "T", "ff": "F", "nn": "N", "mm": "M", "pp": "P", "rr": "R",
    "bb": "B", "dd": "D", "gg": "G", "cc": "K", "zz": "Z", "kk": "K",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH",
    "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH",
    "v": "V", "w": "W", "x": "K S", "y": "Y", "z": "Z",
}  # fmt: skip
_LONGEST = max(len(spelling.rstrip("$")) for spelling in _SPELLINGS)


@cache
def _dictionary() -> bytes:
    return Path(package_folder("pocketsphinx"), "model", "en-us", "cmudict-en-us.dict").read_bytes()


def pronunciations(words: Iterable[str]) -> dict[str, tuple[Phones, ...]]:
    """Return each word's pronunciations, best first; a word without any letter that can be sounded is left out.

    A word the dictionary lacks is read as two that it has (`patchbay` as `patch` and `bay`), else letter by letter.
    """
    wanted = set(words)
    found = _look_up(wanted)
    missing = wanted - found.keys()
    parts = _look_up({part for word in missing for cut in _cuts(word) for part in cut}) if missing else {}
    for word in missing:
        sounds = _compound(word, parts) or ((sounded,) if (sounded := sound_out(word)) else ())
        if sounds:
            found[word] = sounds
    return {word: _with_flap(sounds) for word, sounds in found.items()}


def sound_out(word: str) -> Phones:
    """Return the phones of a word by English spelling, or "" when it has no letters of the alphabet."""
    phones, at = [], 0
    while at < len(word):
        length, sound = _spelling_at(word, at)
        phones.append(sound)
        at += length
    return " ".join(filter(None, phones))


def _with_flap(sounds: tuple[Phones, ...]) -> tuple[Phones, ...]:
    """Add what becomes of a final T before a vowel in American speech ("it is" as "id is")."""
    flapped = (f"{phones[:-1]}D" for phones in sounds if phones.endswith(" T"))
    return tuple(dict.fromkeys((*sounds, *flapped)))


def _spelling_at(word: str, at: int) -> tuple[int, Phones]:
    for length in range(_LONGEST, 0, -1):
        part = word[at : at + length]
        ends = at + length == len(word) and at > 0
        if ends and (sound := _SPELLINGS.get(f"{part}$")) is not None:
            return length, sound
        if len(part) == length and (sound := _SPELLINGS.get(part)) is not None:
            return length, sound
    return 1, ""


def _look_up(words: set[str]) -> dict[str, tuple[Phones, ...]]:
    found: dict[str, list[Phones]] = {}
    for line in _dictionary().decode().splitlines():
        entry, _, phones = line.partition(" ")
        word = entry.partition("(")[0]
        if word in words:
            found.setdefault(word, []).append(phones)
    return {word: tuple(phones) for word, phones in found.items()}


def _cuts(word: str) -> list[tuple[str, str]]:
    return [(word[:at], word[at:]) for at in range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1)]


def _compound(word: str, parts: Mapping[str, tuple[Phones, ...]]) -> tuple[Phones, ...]:
    whole = [cut for cut in _cuts(word) if cut[0] in parts and cut[1] in parts]
    if not whole:
        return ()
    first, second = min(whole, key=lambda cut: abs(len(cut[0]) - len(cut[1])))
    return tuple(f"{a} {b}" for a, b in product(parts[first], parts[second]))[:3]
