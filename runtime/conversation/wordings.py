"""What the engine itself says, by language; English where there is no other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

__all__ = ["WORDINGS", "Wording", "is_machine", "is_only_courteous", "is_return", "wording"]

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

_FAREWELL: Final = frozenset(
    """bye goodbye by ciao tschüss tschüs wiederhören wiedersehen revoir adieu adiós adios hasta luego arrivederci
    thanks thank you very much so a lot merci beaucoup danke schön gracias grazie mille good day evening night nice have
    one you too same to see later take care okay ok alright right great perfect fine yes yeah cheers auf vielen dank
    guten tag einen schönen au bonne journée soirée buenas buen día noches buona giornata serata all the best
    ja gut sehr super si sí oui va bene and und et y e to""".split()  # noqa: SIM905 - a hundred quoted words read worse
)
_RETURN: Final = (
    r"(i'm|i am|we're|we are) (back|ready|here)|\bback\b|\bready\b|hello|hey|are you (still )?there|still there|go (on|ahead)"
    r"|(thanks|thank you) for (waiting|holding)|ich bin (wieder )?(da|zurück|so ?weit)|wieder da|hallo|sind sie noch da|kann weitergehen"
    r"|je suis (de retour|là|prêt)|me revoilà|allô|vous êtes (toujours )?là|ya (estoy|está)|estoy de vuelta|hola|sigue ahí|listo"
    r"|sono (tornat|qui|pront)|eccomi|pronto|ciao|è ancora lì"
)
_MACHINE: Final = (
    r"voice ?mail|mailbox|answering machine|leave (a|your|me a) (short )?(message|name)|(after|at) the (tone|beep|signal)"
    r"|record your message|(is|are|am) (currently )?(not available|unavailable|unable to (take|answer))|can(no|')t (take|come to|answer)"
    r"|you('ve| have) reached the (voice|mail)|press (one|1|pound|hash) (to|for)|please leave"
    r"|mailbox|anrufbeantworter|nachricht (nach|hinterlassen|aufsprechen)|nach dem (signal|ton|piep)|nicht (erreichbar|zu erreichen)"
    r"|messagerie|répondeur|laisse[rz] (un|votre) message|après le (bip|signal)|n'est pas disponible"
    r"|buzón|contestador|deje (su|un) mensaje|después de(l| la) (tono|señal)|no (está|se encuentra) disponible"
    r"|segreteria|lasci(a|ate|are)? (un|il) messaggio|dopo il (segnale|bip)|non è (raggiungibile|disponibile)"
)
_RETURNS = re.compile(rf"(?:^|\b)(?:{_RETURN})", re.IGNORECASE)
_MACHINES = re.compile(_MACHINE, re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+")
_TAG = re.compile(r"[-_]")
_MONOLOGUE_WORDS = 30


def wording(key: Wording, language: str) -> str:
    """Return what is said in the language of the tag (`de-AT` is `de`)."""
    return WORDINGS.get(_TAG.split(language)[0].lower(), WORDINGS["en"])[key]


def is_only_courteous(text: str) -> bool:
    """Whether nothing but a farewell, thanks or agreement is said: no reason to keep somebody on the line."""
    words = [word.lower() for word in _WORDS.findall(text)]
    return all(word in _FAREWELL for word in words)


def is_return(text: str) -> bool:
    """Whether a caller who had asked for a moment is back."""
    return _RETURNS.search(text) is not None


def is_machine(text: str) -> bool:
    """Whether who answered a call is a machine: by its words, or because a person does not say so much unasked."""
    if _MACHINES.search(text):
        return True
    return len(_WORDS.findall(text)) >= _MONOLOGUE_WORDS and not text.rstrip().endswith("?")
