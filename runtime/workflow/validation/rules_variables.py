"""Rules of variables: their names, limits, defaults, and that one name is one variable."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from runtime.variables import Context, Rejected, VariableSpec, normalise
from runtime.workflow.config import PathVariable
from runtime.workflow.declarations import Declaration, spec_of
from runtime.workflow.faults import Fault, Loc, error, nearest, warning
from runtime.workflow.validation.shape import is_stand_in
from runtime.workflow.validation.survey import NAME, RESERVED_VARIABLES, Survey

__all__ = ["variable_faults"]

_SPELLED = frozenset({"string", "digits", "email", "phone", "enum", "person_name"})
# Only for what words like "tomorrow" in a default or an example would mean: rules know no clock.
_SOME_DAY = datetime(2026, 1, 1, 12, tzinfo=UTC)


def variable_faults(survey: Survey) -> Iterator[Fault]:
    """Yield the faults of every declaration, and those of declarations that contradict each other."""
    for place in survey.declarations.places:
        spec = survey.declarations.specs[place.variable.name]
        yield from _name(survey, place.loc, place.variable)
        yield from _definition(survey, place, spec)
    analysis = survey.config.session.analysis
    for index, variable in enumerate(analysis.fields if analysis is not None else ()):
        place = Declaration(("session", "analysis", "fields", index), variable)
        yield from _name(survey, place.loc, variable)
        yield from _definition(survey, place, spec_of(variable))
    yield from _conflicts(survey)
    yield from _twice(survey)


def _name(survey: Survey, loc: Loc, variable: PathVariable) -> Iterator[Fault]:
    name, loc = variable.name, (*loc, "name")
    if name in RESERVED_VARIABLES:
        message = f"{survey.place(loc)} has a name that guards and templates need for something else."
        yield error(loc, "reserved_name", message, f"Call it something like “{name}_value”.")
    elif not NAME.fullmatch(name) and not is_stand_in(name):
        slug = re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_0123456789")
        message = f"{survey.place(loc)} has a name that is not lower-case letters, digits and underscores."
        yield error(loc, "variable_name", message, f"Call it “{slug[:40] or 'value'}”.")


def _definition(survey: Survey, place: Declaration, spec: VariableSpec) -> Iterator[Fault]:
    written = place.variable.model_fields_set
    yield from _enum(survey, place, spec)
    pattern = _pattern(survey, place)
    yield from pattern
    if {"min_length", "max_length"} & written:
        yield from _lengths(survey, place, spec)
    if "confirm" in written and spec.confirm == "spell" and spec.data_type not in _SPELLED:
        loc = (*place.loc, "confirm")
        message = f"{survey.place(loc)} is to be spelled back, and a {spec.data_type} has nothing to spell."
        yield warning(loc, "confirm_spell", message, "Use “once”.")
    spec = replace(spec, pattern=None) if _is_broken(spec.pattern) else spec
    if not (spec.data_type == "enum" and not spec.enum):
        yield from _values(survey, place, spec)


def _enum(survey: Survey, place: Declaration, spec: VariableSpec) -> Iterator[Fault]:
    loc = (*place.loc, "enum")
    written = place.variable.model_fields_set
    is_declared = spec.data_type == "enum" and "data_type" in written
    if place.variable.enum == () or (is_declared and not spec.enum and "enum" not in written):
        yield error(loc, "enum_empty", f"{survey.place(loc)} is an enum without values.", "List its values.")
    elif place.variable.enum and spec.data_type != "enum" and (*place.loc, "data_type") not in survey.repaired:
        message = f"{survey.place(loc)} lists values, and its type is {spec.data_type}, which does not look at them."
        yield warning(loc, "enum_unused", message, "Set its data_type to “enum”.")
    seen: set[str] = set()
    for index, value in enumerate(place.variable.enum or ()):
        if not value.strip():
            yield error((*loc, index), "empty_name", f"{survey.place(loc)} has an empty value.", "Take it out.")
        elif value.casefold() in seen:
            message = f"{survey.place(loc)} has the value “{value}” twice."
            yield error((*loc, index), "duplicate_name", message, "Take one of the two out.")
        seen.add(value.casefold())


def _pattern(survey: Survey, place: Declaration) -> tuple[Fault, ...]:
    pattern = place.variable.pattern
    if pattern is None or not (why := _is_broken(pattern)):
        return ()
    loc = (*place.loc, "pattern")
    message = f"{survey.place(loc)} has a pattern that is no regular expression: {why}."
    return (error(loc, "pattern_invalid", message, "Correct the pattern (Python's `re`)."),)


def _is_broken(pattern: str | None) -> str:
    """Say why a pattern does not compile; empty where it does."""
    try:
        re.compile(pattern or "")
    except (re.error, OverflowError, RecursionError) as fault:
        return str(fault) or "it is nested too deeply"
    return ""


def _lengths(survey: Survey, place: Declaration, spec: VariableSpec) -> Iterator[Fault]:
    if spec.min_length is None or spec.max_length is None or spec.min_length <= spec.max_length:
        return
    key = "min_length" if "min_length" in place.variable.model_fields_set else "max_length"
    message = f"{survey.place((*place.loc, key))} must have at least {spec.min_length} and at most {spec.max_length} characters."
    yield error((*place.loc, key), "limits_contradict", message, "Make min_length the smaller one.")


def _values(survey: Survey, place: Declaration, spec: VariableSpec) -> Iterator[Fault]:
    session = survey.config.session
    context = Context(_SOME_DAY, session.region, session.language)
    variable = place.variable
    if variable.default is not None and isinstance(why := normalise(spec, variable.default, context), Rejected):
        loc: Loc = (*place.loc, "default")
        message = f"{survey.place(loc)} has a default that is no {spec.data_type} as declared: {why.why}."
        near = nearest(str(variable.default), spec.enum)
        yield error(loc, "default_invalid", message, f"Did you mean “{near}”?" if near else "Correct the default.")
    for index, example in enumerate(variable.examples):
        if isinstance(why := normalise(spec, example, context), Rejected):
            loc = (*place.loc, "examples", index)
            message = f"{survey.place(loc)} has an example that is no {spec.data_type} as declared: {why.why}."
            yield warning(loc, "example_invalid", message, "Correct the example, or the limits.")


def _conflicts(survey: Survey) -> Iterator[Fault]:
    for conflict in survey.declarations.conflicts:
        loc = (*conflict.second.loc, conflict.key)
        first = survey.place((*conflict.first.loc, conflict.key))
        message = (
            f"{survey.place(loc)} has another “{conflict.key}” than {first[0].lower()}{first[1:]}; "
            "the same name is one variable."
        )
        remedy = "Make the two equal, declare it once in `variables` and name it here, or give one another name."
        yield error(loc, "variable_conflict", message, remedy)


def _twice(survey: Survey) -> Iterator[Fault]:
    analysis = survey.config.session.analysis
    lists: list[tuple[Loc, Iterable[PathVariable]]] = [
        (("variables",), survey.config.variables),
        (("session", "analysis", "fields"), analysis.fields if analysis is not None else ()),
    ]
    lists += [((*site.loc, "required_variables"), site.path.required_variables) for site in survey.paths()]
    for base, variables in lists:
        seen: set[str] = set()
        for index, variable in enumerate(variables):
            if variable.name in seen:
                loc = (*base, index, "name")
                yield error(
                    loc, "duplicate_name", f"{survey.place(loc)} stands here twice.", "Take one of the two out."
                )
            seen.add(variable.name)
