"""How people say yes and no in a few languages, and what takes it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["PHRASES", "Phrases"]


@dataclass(frozen=True, slots=True)
class Phrases:
    """`yes` and `no` answer even with more words after them, `weak` only without; `doubt` unsays, `neutral` is nothing."""

    yes: tuple[str, ...]
    no: tuple[str, ...]
    weak: tuple[str, ...]
    doubt: tuple[str, ...]
    neutral: tuple[str, ...]


def _phrases(listed: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in listed.split(","))


_NEGATED: Final = tuple(
    f"{subject} {quality}"
    for subject in (
        "that's not",
        "that is not",
        "that isn't",
        "it's not",
        "it is not",
        "it isn't",
        "not",
        "isn't",
        "is not",
    )
    for quality in ("right", "correct", "true", "quite right", "quite correct", "it", "good", "okay", "the right one")
)
_ENGLISH: Final = Phrases(
    yes=_phrases(
        """yes, yeah, yep, yup, yea, ya, aye, yes please, yes thanks, affirmative, absolutely, definitely, exactly, correct, precisely,
        indeed, certainly, of course, that's right, that is right, that's correct, that is correct, you're right, you are right,
        that's it, that's the one, that's true, it's correct, it's right, it is correct, it is right, is correct, is right,
        quite right, all correct, spot on, you got it, you've got it, sounds right, looks right, i think so, mm hm, mm hmm,
        mmhm, mmhmm, mhm, uh huh, aha, sure thing, yes that's right, sounds good, sounds great, looks good,
        go ahead, confirmed, i confirm, you bet, that works, works for me, that's fine, that's good, that is fine"""
    ),
    no=(
        *_phrases(
            """no, nope, nah, never, negative, incorrect, wrong, not right, not correct, not quite, not exactly, not really,
        not at all, of course not, absolutely not, definitely not, certainly not, i do not, i don't, i don't think so,
        i do not think so, it's not, it isn't, it is not, that isn't, that's not, that is not, that's wrong, that is wrong,
        it's wrong, not true, not that, no thanks, no thank you, uh uh, nuh uh, no way, is not right, isn't right,
        isn't correct, not this one, i'd rather not, please don't, that's not right, that's incorrect, don't"""
        ),
        *_NEGATED,
    ),
    weak=_phrases(
        "right, ok, okay, sure, fine, good, perfect, great, alright, all right, true, i do, it is, i am, i would, i have, i did, i will"
    ),
    doubt=_phrases(
        """but, wait, hold on, hang on, actually, except, maybe, perhaps, possibly, not sure, i'm not sure, i am not sure,
        don't know, i don't know, i do not know, dunno, almost, nearly, sort of, kind of, sorry, what, why, who, how,
        i mean, might, though, or, correct the, correct it, correct that, correct my, correct this, correct your, unless,
        if, on second thought, let me think, one moment, a moment, just a second, pardon, can you repeat, say again,
        right number is, correct number is, right one is, correct one is, right name is, correct name is, right address is"""
    ),
    neutral=_phrases(
        """um, uh, uhm, er, erm, hm, hmm, oh, ah, well, so, please, thanks, thank you, i think, i believe, i guess, that, it,
        is, it's, that's, the, this, my, number, name, address, date, and, a, an, one, two, three, four, five, six, seven,
        eight, nine, zero, double, no problem, no worries, not a problem, just, very, much, you, now, then, all, of, at, dot,
        sir, madam, ma'am, say, i'd say, i would say, would be, was, what i said, what you said, quite"""
    ),
)
_GERMAN: Final = Phrases(
    yes=_phrases(
        """ja, jawohl, jo, jep, jup, genau, richtig, korrekt, stimmt, das stimmt, stimmt genau, das ist richtig, das ist korrekt, ganz genau,
        exakt, ja bitte, ja gerne, natürlich, selbstverständlich, auf jeden fall, sehr gerne, ja genau, mhm"""
    ),
    no=_phrases(
        """nein, nee, nö, ne, falsch, nicht richtig, stimmt nicht, das stimmt nicht, das ist falsch, das ist nicht richtig,
        nicht korrekt, nein danke, auf keinen fall, leider nein, leider nicht, gar nicht, nicht ganz, nicht"""
    ),
    weak=_phrases("gut, okay, ok, passt, in ordnung, klar, sicher, gerne, alles klar, schon"),
    doubt=_phrases(
        "aber, moment, warten sie, warte, eigentlich, vielleicht, weiß nicht, ich weiß nicht, doch, oder, halt, sondern, wie bitte, fast"
    ),
    neutral=_phrases(
        "äh, ähm, also, bitte, danke, das, ist, es, die, der, nummer, so, ich glaube, ich denke, na, und, kein problem"
    ),
)
_FRENCH: Final = Phrases(
    yes=_phrases(
        """oui, ouais, exact, exactement, c'est ça, c'est exact, c'est correct, c'est bien ça, tout à fait, bien sûr, correct,
        absolument, oui s'il vous plaît, parfaitement, c'est juste, si"""
    ),
    no=_phrases(
        """non, faux, pas correct, pas exact, ce n'est pas ça, ce n'est pas correct, ce n'est pas exact, c'est faux,
        pas du tout, non merci, pas vraiment, incorrect, pas tout à fait, c'est pas ça"""
    ),
    weak=_phrases("d'accord, ok, okay, bien, parfait, très bien, entendu"),
    doubt=_phrases(
        "mais, attendez, attends, peut-être, en fait, je ne sais pas, je sais pas, ou, pardon, presque, sauf"
    ),
    neutral=_phrases(
        "euh, alors, s'il vous plaît, merci, le, la, numéro, c'est, est, et, je crois, je pense, pas de problème, ben"
    ),
)
_SPANISH: Final = Phrases(
    yes=_phrases(
        """sí, correcto, exacto, exactamente, claro, claro que sí, así es, eso es, es correcto, está bien así, por supuesto,
        efectivamente, sí por favor, desde luego"""
    ),
    no=_phrases(
        """no, incorrecto, no es correcto, no es así, no está bien, falso, equivocado, está mal, es incorrecto, para nada,
        no gracias, claro que no, en absoluto"""
    ),
    weak=_phrases("vale, de acuerdo, bien, perfecto, muy bien, ok, okay, bueno"),
    doubt=_phrases("pero, espere, espera, quizás, quizá, tal vez, no sé, no lo sé, en realidad, o, perdón, casi"),
    neutral=_phrases("eh, por favor, gracias, el, la, número, es, y, creo, pues, este, no hay problema"),
)
_ITALIAN: Final = Phrases(
    yes=_phrases(
        "sì, esatto, esattamente, corretto, giusto, certo, è corretto, è giusto, proprio così, certamente, sì grazie, assolutamente sì"
    ),
    no=_phrases(
        "no, sbagliato, non è corretto, non è giusto, è sbagliato, errato, no grazie, per niente, assolutamente no, non è così, falso"
    ),
    weak=_phrases("va bene, d'accordo, ok, okay, bene, perfetto, benissimo"),
    doubt=_phrases("ma, però, aspetti, aspetta, forse, non so, non lo so, veramente, o, scusi, quasi"),
    neutral=_phrases("ehm, allora, per favore, grazie, il, la, numero, è, e, credo, penso, nessun problema, beh"),
)

PHRASES: Final = {"en": _ENGLISH, "de": _GERMAN, "fr": _FRENCH, "es": _SPANISH, "it": _ITALIAN}
"""By language; the first of `yes` and `no` is what a voice says."""
