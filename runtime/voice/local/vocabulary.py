"""What the local recogniser listens for: a small language model and dictionary made from a workflow's own words."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

from runtime.voice.local.extra import package_folder
from runtime.voice.local.pronunciation import pronunciations
from runtime.voice.local.wording import DIGITS, NUMBERS, ORDINALS, words_of

if TYPE_CHECKING:
    from pocketsphinx.lm import ArpaBoLM  # of the optional extra

__all__ = ["Vocabulary", "vocabulary"]

Words: TypeAlias = tuple[str, ...]

_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
_SPOKEN_DIGITS = (*DIGITS, "oh")
_ALWAYS = (
    "yes", "no", "yes please", "no thank you", "thank you", "okay", "hello", "goodbye", "stop", "please", "correct",
    "that is correct", "that is right", "that is wrong", "yes that is correct", "no that is wrong", "i do not know",
)  # fmt: skip
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "today", "tomorrow")
_TENS = ("twenty", "thirty")
_DATE_WORDS = ("the", "of")
# Weights are counts, tuned on 190 sentences of the simulated caller's voice: a phrase of the workflow counts once; what
# may follow anything counts little, or it is heard in every noise.
_ALWAYS_WEIGHT, _SINGLE, _SINGLE_AFTER, _DIGITS_AFTER, _DIGITS_AFTER_LAST = 0.6, 0.5, 0.5, 0.3, 3.0
_DIGIT_ALONE, _DIGIT_PAIR, _SPELLING_PAIR, _DATE = 0.1, 0.3, 0.0002, 0.002
_ONE_WORD, _FILL, _BACK_OFF = 0.05, 0.05, 0.05
_MOST_LASTS, _MOST_SINGLES_AFTER = 60, 100  # last words, and words that may follow each: the model grows by the product


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """An ARPA language model and a dictionary, both as text, named by their content."""

    key: str
    language_model: str
    dictionary: str
    left_out: tuple[str, ...]  # words that cannot be sounded out, and so cannot be heard


def vocabulary(phrases: Iterable[str] = (), words: Iterable[str] = ()) -> Vocabulary:
    """Return the vocabulary of `phrases` (heard best as they stand) and `words` (heard anywhere), made once per content.

    Numbers, dates, letters and everyday answers are always in it. Raises ProviderMissing without the extra.
    """
    package_folder("pocketsphinx")
    sentences = {spoken for phrase in phrases if (spoken := words_of(phrase))}
    singles = {word for text in words for word in words_of(text)}
    return _build(tuple(sorted(sentences)), tuple(sorted(singles)))


@lru_cache(maxsize=256)
def _build(sentences: tuple[Words, ...], singles: Words) -> Vocabulary:
    spoken = {word for sentence in (*sentences, *map(words_of, _ALWAYS)) for word in sentence}
    wanted = spoken.union(singles, _DATE_WORDS, NUMBERS, ORDINALS, _MONTHS, _DAYS, _LETTERS)
    sounds = pronunciations(wanted)
    heard = [tuple(word for word in sentence if word in sounds) for sentence in sentences]
    model = _language_model(list(filter(None, heard)), [word for word in singles if word in sounds], sounds)
    dictionary = "".join(
        f"{word}{f'({number})' if number > 1 else ''} {phones}\n"
        for word, variants in sorted(sounds.items())
        for number, phones in enumerate(variants, start=1)
    )
    key = hashlib.sha256(f"{model}\0{dictionary}".encode()).hexdigest()[:16]
    return Vocabulary(key, model, dictionary, tuple(sorted(wanted - sounds.keys())))


def _language_model(sentences: Sequence[Words], singles: Sequence[str], known: Iterable[str]) -> str:
    from pocketsphinx.lm import ArpaBoLM  # noqa: PLC0415 - of the optional extra

    model = ArpaBoLM(discount_mass=_BACK_OFF)
    _count_phrases(model, sentences, singles)
    _count_numbers(model)
    for word in known:
        _count(model, ("<s>", word, "</s>"), _ONE_WORD if len(word) > 1 else _SPELLING_PAIR)
        _count(model, (word,), _FILL)
    model.compute()
    text = io.StringIO()
    model.write(text)
    return text.getvalue()


def _count_phrases(model: ArpaBoLM, sentences: Sequence[Words], singles: Sequence[str]) -> None:
    for phrase in _ALWAYS:
        _count(model, ("<s>", *words_of(phrase), "</s>"), _ALWAYS_WEIGHT)
    for sentence in sentences:
        _count(model, ("<s>", *sentence, "</s>"), 1.0)
    for end, digit in product(sorted({sentence[-2:] for sentence in sentences}), _SPOKEN_DIGITS):
        _count(model, (*end, digit), _DIGITS_AFTER / len(_SPOKEN_DIGITS))
    lasts = sorted({sentence[-1] for sentence in sentences})[:_MOST_LASTS]
    for last, first, second in product(lasts, _SPOKEN_DIGITS, _SPOKEN_DIGITS):
        _count(model, (last, first, second), _DIGITS_AFTER_LAST / len(_SPOKEN_DIGITS) ** 2)
    for word in singles:
        _count(model, ("<s>", word, "</s>"), _SINGLE)
        _count(model, (word,), _SINGLE)
    following = singles[:_MOST_SINGLES_AFTER]
    for last, word in product(lasts, following):
        _count(model, (last, word, "</s>"), _SINGLE_AFTER / len(following))


def _count_numbers(model: ArpaBoLM) -> None:
    for digit in DIGITS:
        _count(model, ("<s>", digit, "</s>"), _DIGIT_ALONE)
    for first, second in product(_SPOKEN_DIGITS, repeat=2):
        _count(model, ("<s>", first, second), _DIGIT_PAIR / 2)
        _count(model, (first, second, "</s>"), _DIGIT_PAIR / 2)
    for first, second in product((*_LETTERS, *_SPOKEN_DIGITS), repeat=2):
        _count(model, (first, second), _SPELLING_PAIR)
    days = [(day,) for day in ORDINALS] + list(product(_TENS, ORDINALS[:9]))
    for day, month in product(days, _MONTHS):
        _count(model, ("<s>", "the", *day, "of", month, "</s>"), _DATE)
        _count(model, (month, *day, "</s>"), _DATE)


def _count(model: ArpaBoLM, words: Sequence[str], weight: float) -> None:
    """Count as ArpaBoLM.read_corpus does, but with a weight; its probabilities need no whole numbers."""
    for at, word in enumerate(words):
        model.grams_1[word] += weight
        if at + 1 < len(words):
            model.grams_2[word][words[at + 1]] += weight
        if at + 2 < len(words):
            model.grams_3[word][words[at + 1]][words[at + 2]] += weight
