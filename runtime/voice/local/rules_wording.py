"""What the stand-in says: short sentences made of descriptions, read-backs and results."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.variables import VariableSpec
from runtime.voice.local.rules_schema import Function

__all__ = [
    "ANYTHING_ELSE", "GOODBYE", "HELLO", "HELP", "OPEN", "SORRY", "THANKS",
    "invalid", "offer", "question", "quoted_greeting", "read_back", "result", "thing",
]  # fmt: skip

Json = Any

HELLO = "Hello, how can I help you?"
HELP = "How can I help you with that?"
OPEN = "How can I help you?"
THANKS = "Thank you."
SORRY = "I am sorry, that is not possible at the moment."
ANYTHING_ELSE = "Is there anything else I can do for you?"
GOODBYE = "Thank you for calling. Goodbye."

_MOST = 6  # fields, choices or examples that one sentence holds
_DETAIL = re.compile(r"(?:[.;(]|,|\b(?:e\.g|for example|such as|as printed|as it)\b).*", re.DOTALL | re.IGNORECASE)
_ASK = re.compile(r"^(?:please )?(?:ask (?:the (?:caller|customer|user) )?(?:for|about)|collect|get) ", re.IGNORECASE)
_OWNER = re.compile(r"^(?:the )?(?:caller|customer|user|client)(?:'s|s'|’s) (.+)$", re.IGNORECASE)
_IDENTIFIER = re.compile(r"(?:number|id|identifier|code|reference)$", re.IGNORECASE)
_CLAUSE = re.compile(r"^(?:whether|if|how|what|when|which|where|who|why)\b", re.IGNORECASE)
_SUBJECT = re.compile(r"\b(?:the |a )?(?:caller|customer|user|client|they) (\w+)", re.IGNORECASE)
_PLURAL = {"is": "are", "has": "have", "was": "were", "does": "do", "wishes": "wish"}
_VERB = re.compile(r"^(?:must|is|has|was|needs|should|cannot|does|can|may)\b")
_GREETS = re.compile(
    r"(?:^|[.!?:;\n])\s*(?:(?:always|first|please|then|you|and) ){0,2}(?:greet|say|answer|open|begin|start|welcome|introduce)\b"
    r"[^.\n\"“]{0,80}[\"“]([^\"”\n]{2,200})[\"”]",
    re.IGNORECASE,
)


def thing(spec: VariableSpec) -> str:
    """Return what is asked for as a noun phrase: `your customer number`, `the date of travel`."""
    text = _ASK.sub("", _DETAIL.sub("", spec.description.strip()).strip())
    text = text or spec.name.replace("_", " ")
    if owned := _OWNER.match(text):
        kept = "customer " if "customer" in text.lower() and _IDENTIFIER.fullmatch(owned[1]) else ""
        return f"your {kept}{owned[1]}"
    text = text if text[1:2].isupper() else text[:1].lower() + text[1:]
    if re.match(r"(?:your|the|a|an|how|what|when|which|where|who|why|whether|if)\b", text):
        return re.sub(r"^(?:a|an|the)(?= (?:caller|customer)\b)", "your", text)
    return f"the {text}" if text.startswith(("number of", "reason", "time", "amount")) else f"your {text}"


def question(spec: VariableSpec) -> str:
    """Return the question that asks for a variable."""
    description = spec.description.strip()
    if description.endswith("?") and len(description) <= 200:
        return description
    wanted = thing(spec)
    if _CLAUSE.match(wanted):
        asked = f"Could you tell me {_SUBJECT.sub(_addressed, wanted)}, please?"
    else:
        asked = f"May I have {wanted}, please?"
    if 1 < len(spec.enum) <= _MOST:
        asked += f" You can say {_listed([each.replace('_', ' ') for each in spec.enum], 'or')}."
    return asked


def _addressed(found: re.Match[str]) -> str:
    verb = found[1]
    return f"you {_PLURAL.get(verb, verb.removesuffix('s'))}"


def invalid(spec: VariableSpec, why: str) -> str:
    """Return why an answer does not do, and the question again."""
    heard = why.strip().rstrip(".").replace(", got ", ", I heard ")
    reason = f"{thing(spec)} {heard}" if _VERB.match(heard) and not _CLAUSE.match(thing(spec)) else heard
    return f"I am sorry, {reason}. {question(spec)}" if heard else f"I am sorry. {question(spec)}"


def read_back(aloud: str) -> str:
    """Return the question whether a value is right."""
    return f"I have {aloud}. Is that right?"


def offer(functions: Sequence[Function]) -> str:
    """Say honestly what this is and what it can do here."""
    text = "I am the offline stand-in for a language model"
    if not functions:
        return f"{text}; I can only follow workflows whose paths carry examples, and there is nothing to choose here."
    names = [function.name.replace("_", " ") for function in functions[:_MOST]]
    text += f"; I can do this here: {_listed(names, 'or')}."
    examples = [function.examples[0].rstrip(".?!") for function in functions if function.examples][:3]
    return f"{text} Please say for example: {_listed(examples, 'or')}." if examples else text


def quoted_greeting(instructions: str) -> str | None:
    """Return the greeting that the instructions quote, if any."""
    found = _GREETS.search(instructions[:20_000])
    return found[1] if found else None


def result(text: str) -> str:
    """Say a tool's result in a sentence: the fields of JSON, or the text itself, bounded."""
    try:
        value = json.loads(text) if text.lstrip()[:1] in {"{", "[", '"'} else text
    except (ValueError, RecursionError):
        value = text
    match value:
        case {"error": failure} if failure:
            return "I am sorry, that did not work."
        case dict():
            facts = [f"{_humanised(key)}: {spoken}" for key, each in value.items() if (spoken := _scalar(each))]
            return _sentence(", ".join(facts[:_MOST]))
        case list():
            found = [spoken for each in value[:_MOST] if (spoken := _scalar(each))]
            return _sentence(f"I found {_listed(found, 'and')}" if found else "")
        case _:
            return _sentence(_plain(str(value)))


def _scalar(value: Json) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case Mapping():
            inner = [f"{_humanised(str(key))} {_plain(str(each))}" for key, each in value.items() if _is_plain(each)]
            return ", ".join(inner[:3])
        case list():
            return _listed([_plain(str(each)) for each in value[:_MOST] if _is_plain(each)], "and")
        case None:
            return ""
        case _:
            return _plain(str(value))


def _is_plain(value: Json) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _plain(text: str) -> str:
    return " ".join(text[:300].split()).rstrip(".")


def _humanised(key: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key[:60]).replace("_", " ").replace("-", " ").strip().lower()


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[0].upper()}{text[1:]}." if text else "I found nothing."


def _listed(parts: Sequence[str], word: str) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}" if parts else ""
