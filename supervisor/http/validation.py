"""What a request that does not validate is answered: which parameter or field, and what to do."""

from __future__ import annotations

from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request

from scraper.jobs import Fault
from scraper.jobs.suggest import did_you_mean
from supervisor.http.errors import ApiError

_SHOWN_CHARS = 60


def not_json(kind: str) -> ApiError:
    """`kind`: the content type that was sent, "" for none."""
    return ApiError(
        415, "unsupported_media_type", f"the body is {kind or 'of no type'}, not JSON",
        "send Content-Type: application/json",
    )  # fmt: skip


def content_kind(request: Request) -> str:
    """The body's type without its parameters, "" for none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def invalid_request(error: RequestValidationError, request: Request) -> ApiError:
    """One fault for each parameter or field, however many forms of it were tried."""
    faults: dict[str, Fault] = {}
    for detail in error.errors():
        place, *path = detail["loc"]
        if detail["type"] == "json_invalid":
            return ApiError(422, "invalid_json", "the body is no valid JSON", "check its quotes")
        if place == "body" and not path and content_kind(request) != "application/json":
            return not_json(content_kind(request))
        # Behind the name stand a list's index, or the form of a choice that did not fit.
        field = str(path[0]) if path else place
        fault = _fault(field, place, detail, request)
        if (other := faults.get(field)) and fault.hint != other.hint:
            fault = Fault(field, fault.problem, f"{other.hint}, or {fault.hint}")
        faults[field] = fault
    named = "; ".join(f"{it.field} {it.problem}: {it.hint}" for it in faults.values())
    return ApiError(
        422, "invalid_request", named, "mend what is named; /docs has all of it",
        fields=list(faults.values()),
    )  # fmt: skip


def _fault(field: str, place: str, detail: dict[str, Any], request: Request) -> Fault:
    kind = "parameter" if place in ("query", "path") else "field"
    if detail["type"] == "extra_forbidden":
        known = _known(request, place)
        hint = did_you_mean(field, known, "there are") if known else "leave it out"
        return Fault(field, f"is no {kind} of this", hint)
    if detail["type"] == "missing":
        return Fault(field, "is missing", "give it")
    given = repr(detail.get("input"))
    given = given if len(given) <= _SHOWN_CHARS else f"{given[:_SHOWN_CHARS]}..."
    # "Input should be a valid integer, unable to parse string as an integer",
    # "String should match pattern ..."
    _, should, wanted = detail["msg"].partition(", unable to")[0].partition(" should ")
    hint = f"it should {wanted[:200]}" if should else detail["msg"][:200]
    return Fault(field, f"is {given}", hint)


def _known(request: Request, place: str) -> list[str]:
    """The names that the endpoint takes there, as the description has them."""
    description = request.app.openapi()
    operation = description["paths"].get(request.scope["route"].path, {})
    operation = operation.get(request.method.lower(), {})
    if place != "body":
        return [it["name"] for it in operation.get("parameters", ()) if it["in"] == place]
    content = operation.get("requestBody", {}).get("content", {})
    reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    shape = description["components"]["schemas"].get(reference.rpartition("/")[2], {})
    return list(shape.get("properties", ()))
