"""Reads what a door was given: a URL, JSON text, or a mapping. Nothing of it is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from scraper.jobs.errors import Fault, InvalidJobError
from scraper.jobs.faults import shown

MAX_PAYLOAD_BYTES: Final = 128 * 1024
_FORMS: Final = (
    "send an address (https://example.com/) or a JSON object "
    '({"type": "full-crawl", "url": "https://example.com/"})'
)
_URL = re.compile(r"https?://", re.IGNORECASE)
_OTHER_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class _NotANumberError(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _NotANumberError(name)


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def read_payload(payload: object) -> dict[str, Any]:
    """The fields as they were given, not yet validated. Raises InvalidJobError."""
    if isinstance(payload, Mapping):
        return dict(payload)
    if isinstance(payload, bytes | bytearray):
        _refuse_size(len(payload))
        text = _decoded(bytes(payload))
    elif isinstance(payload, str):
        _refuse_size(len(payload) if payload.isascii() else _utf8_bytes(payload))
        text = payload
    else:
        raise _invalid(f"is {shown(payload)}", _FORMS)
    text = text.removeprefix("\ufeff").strip()
    if _URL.match(text):
        return {"url": text}
    if text.startswith("{"):
        return _json_object(text)
    if _OTHER_URL.match(text):
        raise _invalid(f"is {shown(text)}", "only http and https are fetched")
    raise _invalid(f"is {shown(text)}" if text else "is empty", _FORMS)


def _invalid(problem: str, hint: str) -> InvalidJobError:
    return InvalidJobError([Fault("", f"the job {problem}", hint)])


def _refuse_size(size_bytes: int) -> None:
    if size_bytes > MAX_PAYLOAD_BYTES:
        hint = f"send at most {MAX_PAYLOAD_BYTES:,} bytes"
        raise _invalid(f"is too large ({size_bytes:,} bytes)", hint)


def _utf8_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _decoded(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        problem = f"is no UTF-8 text (byte 0x{payload[error.start]:02x} at {error.start + 1})"
        raise _invalid(problem, _FORMS) from None


def _json_object(text: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = _decoder.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        hint = "check the quotes: JSON has double ones" if text.startswith("{'") else _FORMS
        raise _invalid(f"is no valid JSON ({error.msg} at {place})", hint) from None
    except RecursionError:
        raise _invalid("is nested too deeply", "give a flat object") from None
    except _NotANumberError as error:
        raise _invalid(f"has {error} in it", "JSON knows finite numbers only") from None
    except ValueError:
        raise _invalid("has a number that is far too long", "give it as a text") from None
    return fields
