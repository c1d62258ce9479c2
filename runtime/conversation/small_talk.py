"""What a caller's words amount to on the telephone: a farewell, a return from a moment's hold, a machine."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_machine", "is_only_courteous", "is_return"]

_THANKS: Final = frozenset(
    """bye goodbye ciao tschüss tschüs wiederhören wiedersehen revoir adieu adiós adios arrivederci thanks thank cheers merci
    danke dank gracias grazie""".split()  # noqa: SIM905 - a list of quoted words reads worse
)
_COURTESY: Final = _THANKS | frozenset(
    """by hasta luego you very much so a lot for your help beaucoup schön für ihre hilfe mille good day evening night nice
    have one too same to see later talk soon take care okay ok alright right great perfect fine yes yeah yep no nope nein non
    nah that's thats it all nothing else more auf vielen guten tag einen schönen au bonne journée soirée buenas buen día noches
    buona giornata serata the best ja gut sehr super si sí oui va bene and und et y e everything was i'm good das war's alles
    c'est tout eso es todo per il suo aiuto por su ayuda pour votre aide""".split()  # noqa: SIM905 - as above
)
_DEMANDS: Final = frozenset(
    """wait but actually another question questions what how when where why who which can could would also moment stop hold
    before warte warten aber noch frage was wie wann wo warum wer kann könnte attendez mais question comment quand où pourquoi
    peux pouvez espere espera pero pregunta qué cómo cuándo dónde puede aspetti aspetta ma domanda cosa come quando dove può
    need want forgot brauche möchte vergessen besoin oublié necesito quiero olvidé vorrei dimenticato""".split()  # noqa: SIM905 - as above
)
_LONGEST_FAREWELL: Final = 14

_RETURNS: Final = re.compile(
    r"\b(?:i'm|i am|we're|we are|here i am,? i'm) (?:back|ready|here)\b|^(?:ok(?:ay)?|so|right|yes|and)?[,.]? ?(?:back|ready)\b"
    r"|\b(?:hello|hey)\b|\bare you (?:still )?there\b|\bstill there\b|\bgo ahead\b|\b(?:thanks|thank you) for (?:waiting|holding)\b"
    r"|\bich bin (?:wieder )?(?:da|zurück|so ?weit)\b|\bwieder da\b|\bhallo\b|\bsind sie noch da\b|\bkann weitergehen\b"
    r"|\bje suis (?:de retour|là|prête?)\b|\bme revoilà\b|\ballô\b|\bvous êtes (?:toujours )?là\b"
    r"|\bya (?:estoy|está)\b|\bestoy de vuelta\b|\bhola\b|\bsigue ahí\b|^listo\b"
    r"|\bsono (?:tornat[oa]|qui|pront[oa])\b|\beccomi\b|^pronto\b|\bè ancora lì\b",
    re.IGNORECASE,
)
_NOT_YET: Final = re.compile(
    r"\b(?:not|isn't|nicht|pas|no|non) (?:yet )?(?:ready|so ?weit|bereit|prête?|listo|pronto)\b|\b(?:be|get|come|go) (?:right )?back\b",
    re.IGNORECASE,
)

# What only a machine says. A person in front of one may say that somebody is not available, and asks what to do then.
_MACHINES: Final = re.compile(
    r"\b(?:leave|record) (?:a|your|me a|us a) (?:short |brief )?(?:message|name)\b|\b(?:after|at) the (?:tone|beep|signal)\b"
    r"|\byou(?:'ve| have) reached\b.*\b(?:voice ?mail|mailbox|message)\b|\bvoice ?mail (?:box|of|for|system)\b|\banswering machine\b"
    r"|\b(?:person|party|number|customer|subscriber)s? you (?:are|have|'ve) (?:calling|called|dial\w+|trying)\b"
    r"|\bcan(?:no|')t (?:come to|get to|answer) (?:the|my) (?:phone|call)\b|\bmailbox is full\b"
    r"|\banrufbeantworter\b|\bnachricht (?:nach|hinterlassen|aufsprechen)\b|\bnach dem (?:signal|ton|piep)\w*\b"
    r"|\b(?:teilnehmer|rufnummer|anschluss)\b.*\bnicht (?:erreichbar|zu erreichen|vergeben)\b"
    r"|\b(?:messagerie|répondeur) de\b|\blaisse[rz] (?:un|votre|moi un) message\b|\baprès le (?:bip|signal)\b"
    r"|\b(?:correspondant|personne que vous)\b.*\b(?:disponible|joignable)\b"
    r"|\bbuzón de voz\b|\bcontestador\b|\bdeje (?:su|un) mensaje\b|\bdespués de(?:l| la) (?:tono|señal)\b"
    r"|\b(?:número|abonado|cliente)\b.*\bno (?:está|se encuentra) disponible\b"
    r"|\bsegreteria\b|\blasci(?:a|ate|are)? (?:un|il) messaggio\b|\bdopo il (?:segnale|bip)\b"
    r"|\b(?:utente|cliente|numero)\b.*\bnon è (?:al momento )?(?:raggiungibile|disponibile)\b",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+")
_MONOLOGUE_WORDS: Final = 30


def is_only_courteous(text: str) -> bool:
    """Whether it is a farewell, thanks or agreement and nothing else: no reason to keep somebody on the line."""
    words = [word.lower().replace("’", "'") for word in _WORDS.findall(text)]
    if all(word in _COURTESY for word in words):
        return True
    asks = "?" in text or any(word in _DEMANDS for word in words)
    return not asks and len(words) <= _LONGEST_FAREWELL and any(word in _THANKS for word in words)


def is_return(text: str) -> bool:
    """Whether a caller who had asked for a moment is back."""
    plain = text.replace("’", "'").strip()
    return _RETURNS.search(plain) is not None and _NOT_YET.search(plain) is None


def is_machine(text: str, *, first: bool) -> bool:
    """Whether who answered a call is a machine: by its words, or, in its `first` ones, because no person says so much unasked.

    Who asks something is a person.
    """
    if text.rstrip().endswith("?"):
        return False
    return _MACHINES.search(text) is not None or (first and len(_WORDS.findall(text)) >= _MONOLOGUE_WORDS)
