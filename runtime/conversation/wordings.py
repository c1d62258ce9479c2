"""What the engine itself says, by language; English where there is no other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

__all__ = ["WORDINGS", "ResumingWording", "Wording", "resuming_wording", "wording"]

Wording = Literal[
    "again", "give_up", "no_workflow", "busy", "drained", "time_limit", "not_transferred", "on_hold", "filler"
]

WORDINGS: Final[Mapping[str, Mapping[Wording, str]]] = {
    "en": {
        "again": "I'm sorry, something went wrong just now. Could you say that again, please?",
        "give_up": "I'm sorry, something is not working here. Please call again a little later. Goodbye.",
        "no_workflow": "I'm sorry, this number cannot be answered at the moment. Goodbye.",
        "busy": "I'm sorry, all lines are busy. Please call again a little later. Goodbye.",
        "drained": "I'm sorry, I have to end this call now. Please call again. Goodbye.",
        "time_limit": "I'm sorry, we have reached the end of our time. Goodbye.",
        "not_transferred": "I'm sorry, I could not put you through. Is there anything else I can do for you?",
        "on_hold": "Of course, take your time.",
        "filler": "One moment, please.",
    },
    "de": {
        "again": "Entschuldigung, das hat gerade nicht geklappt. Könnten Sie das bitte wiederholen?",
        "give_up": "Es tut mir leid, hier funktioniert etwas nicht. Bitte rufen Sie etwas später noch einmal an. Auf Wiederhören.",
        "no_workflow": "Es tut mir leid, unter dieser Nummer ist zurzeit niemand erreichbar. Auf Wiederhören.",
        "busy": "Es tut mir leid, alle Leitungen sind besetzt. Bitte rufen Sie etwas später noch einmal an. Auf Wiederhören.",
        "drained": "Es tut mir leid, ich muss das Gespräch jetzt beenden. Bitte rufen Sie noch einmal an. Auf Wiederhören.",
        "time_limit": "Es tut mir leid, unsere Zeit ist um. Auf Wiederhören.",
        "not_transferred": "Es tut mir leid, ich konnte Sie nicht verbinden. Kann ich sonst noch etwas für Sie tun?",
        "on_hold": "Natürlich, lassen Sie sich Zeit.",
        "filler": "Einen Moment, bitte.",
    },
    "fr": {
        "again": "Excusez-moi, cela n'a pas fonctionné. Pouvez-vous répéter, s'il vous plaît ?",
        "give_up": "Je suis désolé, quelque chose ne fonctionne pas. Veuillez rappeler un peu plus tard. Au revoir.",
        "no_workflow": "Je suis désolé, ce numéro n'est pas joignable pour le moment. Au revoir.",
        "busy": "Je suis désolé, toutes les lignes sont occupées. Veuillez rappeler un peu plus tard. Au revoir.",
        "drained": "Je suis désolé, je dois terminer cet appel. Veuillez rappeler. Au revoir.",
        "time_limit": "Je suis désolé, notre temps est écoulé. Au revoir.",
        "not_transferred": "Je suis désolé, je n'ai pas pu vous transférer. Puis-je faire autre chose pour vous ?",
        "on_hold": "Bien sûr, prenez votre temps.",
        "filler": "Un instant, s'il vous plaît.",
    },
    "es": {
        "again": "Disculpe, algo ha fallado. ¿Puede repetirlo, por favor?",
        "give_up": "Lo siento, algo no funciona. Por favor, vuelva a llamar un poco más tarde. Adiós.",
        "no_workflow": "Lo siento, este número no está disponible en este momento. Adiós.",
        "busy": "Lo siento, todas las líneas están ocupadas. Por favor, vuelva a llamar un poco más tarde. Adiós.",
        "drained": "Lo siento, tengo que terminar la llamada. Por favor, vuelva a llamar. Adiós.",
        "time_limit": "Lo siento, se nos ha acabado el tiempo. Adiós.",
        "not_transferred": "Lo siento, no he podido pasarle. ¿Puedo hacer algo más por usted?",
        "on_hold": "Claro, tómese su tiempo.",
        "filler": "Un momento, por favor.",
    },
    "it": {
        "again": "Mi scusi, qualcosa non ha funzionato. Può ripetere, per favore?",
        "give_up": "Mi dispiace, qualcosa non funziona. La prego di richiamare più tardi. Arrivederci.",
        "no_workflow": "Mi dispiace, questo numero non è raggiungibile al momento. Arrivederci.",
        "busy": "Mi dispiace, tutte le linee sono occupate. La prego di richiamare più tardi. Arrivederci.",
        "drained": "Mi dispiace, devo terminare la chiamata. La prego di richiamare. Arrivederci.",
        "time_limit": "Mi dispiace, il nostro tempo è finito. Arrivederci.",
        "not_transferred": "Mi dispiace, non sono riuscito a trasferirla. Posso fare altro per lei?",
        "on_hold": "Certo, faccia con calma.",
        "filler": "Un momento, per favore.",
    },
}

ResumingWording = Literal["lost", "parted"]

_RESUMING: Final[Mapping[str, Mapping[ResumingWording, str]]] = {
    "en": {
        "lost": "Sorry, I lost you for a moment.",
        "parted": "Sorry, I lost you for a moment. Goodbye.",
    },
    "de": {
        "lost": "Entschuldigung, ich war kurz weg.",
        "parted": "Entschuldigung, ich war kurz weg. Auf Wiederhören.",
    },
    "fr": {
        "lost": "Excusez-moi, la liaison a été coupée un instant.",
        "parted": "Excusez-moi, la liaison a été coupée un instant. Au revoir.",
    },
    "es": {
        "lost": "Disculpe, se ha cortado un momento.",
        "parted": "Disculpe, se ha cortado un momento. Adiós.",
    },
    "it": {
        "lost": "Mi scusi, è caduta la linea per un attimo.",
        "parted": "Mi scusi, è caduta la linea per un attimo. Arrivederci.",
    },
}
"""Said by a worker that goes on with a call; no recordings of it are needed, as it has its voices."""

_TAG = re.compile(r"[-_]")


def resuming_wording(key: ResumingWording, language: str) -> str:
    """Return what a caller hears when the call goes on elsewhere."""
    return _RESUMING.get(_base(language), _RESUMING["en"])[key]


def _base(language: str) -> str:
    return _TAG.split(language)[0].lower()


def wording(key: Wording, language: str) -> str:
    """Return what is said in the language of the tag (`de-AT` is `de`)."""
    return WORDINGS.get(_base(language), WORDINGS["en"])[key]
