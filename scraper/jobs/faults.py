"""Turns what pydantic finds wrong into faults: one clear line each, in the user's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from scraper.jobs.errors import Fault
from scraper.jobs.suggest import did_you_mean

_SHOWN_CHARS = 60
_OWN = "fault"


def fault_error(problem: str, hint: str) -> PydanticCustomError:
    """What a validator raises: it becomes a fault of the field that it checks."""
    return PydanticCustomError(_OWN, "{problem}: {hint}", {"problem": problem, "hint": hint})


def shown(value: object) -> str:
    """A value as a message may show it: short, on one line, never the inside of a structure."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "…")
    if isinstance(value, int | float):
        is_long = isinstance(value, int) and value.bit_length() > 128  # repr has a limit of its own
        return "a number far too large" if is_long else repr(value)
    return f"a {type(value).__name__}"


def faults_of(error: ValidationError, known: Mapping[str, Sequence[str]]) -> list[Fault]:
    """The faults of a job that did not validate.

    `known` maps the path of each object ("" is the job) to the fields that it may have.
    """
    return [
        _fault_of(detail, known)
        for detail in error.errors(include_url=False)
        if detail["type"] != "default_factory_not_called"  # follows from another fault
    ]


def _fault_of(detail: ErrorDetails, known: Mapping[str, Sequence[str]]) -> Fault:
    path = [str(part) for part in detail["loc"]]
    field = ".".join(path)
    context: Mapping[str, Any] = detail.get("ctx", {})
    if detail["type"] == _OWN:
        return Fault(field, context["problem"], context["hint"])
    if detail["type"] == "missing":
        return Fault(field, "is missing", _MISSING.get(field, "give it"))
    if detail["type"] in ("extra_forbidden", "invalid_key"):
        return _unknown(path, known)
    if detail["type"] == "string_unicode":
        problem = "has half a character (a lone surrogate) in it"
        return Fault(field, problem if field else f"the job {problem}", "give valid text")
    hints = {
        "bool_type": "give true or false, without quotes",
        "string_type": "give a text in quotes",
        "literal_error": f"give {context.get('expected')}",
        "model_type": f"give an object with {', '.join(known.get(field, ()))}",
    }
    hint = hints.get(detail["type"], detail["msg"])
    return Fault(field, f"is {shown(detail['input'])}", hint)


_MISSING = {
    "url": "give the address of the page, such as https://example.com/",
    "type": "give the job's type, such as single-page or full-crawl",
    "webhook.url": "give the address to call, such as https://example.com/hook",
}


def _unknown(path: Sequence[str], known: Mapping[str, Sequence[str]]) -> Fault:
    *parents, name = path
    names = known.get(".".join(parents), ())
    short = name if len(name) <= _SHOWN_CHARS else name[:_SHOWN_CHARS] + "…"
    written = short if short.isprintable() and " " not in short and short else repr(short)
    where = f"a field of {'.'.join(parents)}" if parents else "a field of a job"
    hint = did_you_mean(name, names, "the fields are")
    return Fault(".".join([*parents, written]), f"is not {where}", hint)
