"""Rules of what templates and guards read: declared names, no secrets where they show, and nothing that is never set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runtime.workflow.conditions import CALL_FIELDS, CALLER_FIELDS
from runtime.workflow.faults import Fault, Loc, error, nearest, suggestion
from runtime.workflow.places import key_of
from runtime.workflow.templates import TemplateFault, compile_template
from runtime.workflow.validation.rules_paths import compiled
from runtime.workflow.validation.survey import Survey
from runtime.workflow.validation.texts import Reader, Text, texts_of

__all__ = ["reading_faults"]

_FIELDS = {"call": CALL_FIELDS, "caller": CALLER_FIELDS}
_PLAIN = frozenset({"attempts", "visits", "now", "workspace", *_FIELDS})


def reading_faults(survey: Survey) -> Iterator[Fault]:
    """Yield the faults of every template, and of variables that guards read where nothing can have set them."""
    for text in texts_of(survey):
        if "{{" in text.text or "{%" in text.text:
            yield from _template(survey, text)
    for site in survey.paths():
        guard = compiled(survey, site)
        if guard is not None:
            agents = None if site.agent is None else (site.agent,)
            yield from _unset(survey, (*site.loc, "guard_condition"), "guard", guard.needs, agents)


def _template(survey: Survey, text: Text) -> Iterator[Fault]:
    template = compile_template(text.text)
    if isinstance(template, TemplateFault):
        message = (
            f"{survey.place(text.loc)}: “{key_of(text.loc)}” is no Liquid template. "
            f"Line {template.line}, column {template.column}: {template.message}."
        )
        yield error(text.loc, "template_invalid", message, "Correct the template.")
        return
    variables: dict[str, None] = {}
    for name in template.names:
        root, _, rest = name.partition(".")
        if (fault := _name(survey, text, root, rest)) is not None:
            yield fault
        elif root in survey.variables:
            variables[root] = None
    yield from _unset(survey, text.loc, "text", variables, text.agents)


def _name(survey: Survey, text: Text, root: str, rest: str) -> Fault | None:
    """Check one dotted name by its first part and the field after it."""
    field = rest.partition(".")[0]
    if root == "secrets":
        return _secret(survey, text) if text.reader is Reader.PERSON else None
    if root in _FIELDS and field not in {"", *_FIELDS[root]}:
        return _unknown(survey, text, f"{root}.{field}", {f"{root}.{known}" for known in _FIELDS[root]})
    if root == "arguments" and text.arguments is not None and rest:
        return None if text.arguments & {field, rest} else _no_parameter(survey, text, field)
    if root in _known(survey, text) or root in survey.lost:
        return None
    return _unknown(survey, text, root, _known(survey, text))


def _known(survey: Survey, text: Text) -> frozenset[str]:
    match text.reader:
        case Reader.PROVIDER:
            return frozenset({"secrets", "workspace"})
        case Reader.TOOL:
            return _PLAIN | {"secrets", "arguments"} | survey.variables.keys()
        case Reader.PERSON:
            return _PLAIN | survey.variables.keys()


def _secret(survey: Survey, text: Text) -> Fault:
    message = f"{survey.place(text.loc)}: “{key_of(text.loc)}” reads a secret, and {text.reader.value}."
    return error(text.loc, "secret_exposed", message, "Read it in a tool's config or a provider's api_key only.")


def _unknown(survey: Survey, text: Text, name: str, known: Iterable[str]) -> Fault:
    message = f"{survey.place(text.loc)}: “{key_of(text.loc)}” reads “{name}”, which is declared nowhere."
    near = nearest(name, known)
    declare = f"Declare it in `variables`. {suggestion(name, known, what='Declared are')}"
    return error(text.loc, "unknown_variable", message, f"Did you mean “{near}”?" if near else declare)


def _no_parameter(survey: Survey, text: Text, field: str) -> Fault:
    message = (
        f"{survey.place(text.loc)}: “{key_of(text.loc)}” reads “arguments.{field}”, which is none of its parameters."
    )
    known = [f"arguments.{name}" for name in text.arguments or ()]
    return error(text.loc, "unknown_variable", message, suggestion(f"arguments.{field}", known, what="There are"))


def _unset(
    survey: Survey, loc: Loc, what: str, names: Iterable[str], agents: tuple[int, ...] | None
) -> Iterator[Fault]:
    """Check that each variable can have been set at the agents; nothing is told of a config that is not whole."""
    if agents is None or not survey.is_whole:
        return
    sets = [survey.settable[index] for index in agents]
    if loc[:2] == ("session", "on_start"):
        sets = [survey.set_at_start]
    for name in names:
        if any(name not in settable for settable in sets):
            message = f"{survey.place(loc)}: the {what} reads “{name}”, which nothing on the way there can set."
            remedy = f"Ask for “{name}” on a path that leads there, or declare it in `variables`."
            yield error(loc, "never_set", message, remedy)
