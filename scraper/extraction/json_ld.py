"""The JSON-LD blocks of a page."""

import html
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import orjson
import pyjson5
from selectolax.lexbor import LexborNode

from scraper.extraction import limits

# Old templates hide the JSON from browsers that know no scripts.
_WRAPPING = re.compile(r"\A\s*(?:<!--|//\s*<!\[CDATA\[|<!\[CDATA\[)|(?:-->|(?://\s*)?\]\]>|;)\s*\Z")
# As JSON writes it; an even number of backslashes before it would make it text.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_MAX_INT_DIGITS: Final = 18
# What no JSON may have raw in a string, and what templates write all the same.
_CONTROL_CHARS: Final = dict.fromkeys([*range(0x20), 0x7F], " ")
_CONTROL_CHARS_BUT_LINE_ENDS: Final = {
    code: blank for code, blank in _CONTROL_CHARS.items() if chr(code) not in "\r\n"
}


@dataclass(slots=True)
class JsonLd:
    """`objects` as parsed (arrays of objects are opened, @graph is kept); the number of blocks that
    are broken.
    """

    objects: list[dict[str, object]] = field(default_factory=list)
    broken: int = 0


def read_json_ld(scripts: Iterable[LexborNode], cuts: set[str]) -> JsonLd:
    """The JSON-LD of a page: what is no JSON object or array counts as broken; adds 'json_ld' to
    `cuts`.
    """
    found = JsonLd()
    blocks = 0
    chars_left = limits.MAX_JSON_LD_TOTAL_CHARS
    for script in scripts:
        media_type = script.attributes.get("type")
        if not media_type or media_type.partition(";")[0].strip().lower() != "application/ld+json":
            continue
        text = script.text()
        blocks += 1
        chars_left -= len(text)
        if blocks > limits.MAX_JSON_LD_BLOCKS or chars_left < 0:
            cuts.add("json_ld")
            break
        if text and not text.isspace():
            _add_block(found, text)
    return found


def _add_block(found: JsonLd, text: str) -> None:
    try:
        value = _parsed(text)
        if not _is_plain(text):
            _check(value)
    except (TypeError, ValueError, RecursionError):
        found.broken += 1
        return
    items = value if isinstance(value, list) else [value]
    objects = [item for item in items if isinstance(item, dict)]
    found.objects += objects
    if not objects and items:
        found.broken += 1


def _is_plain(text: str) -> bool:
    """Whether the text of a block alone tells that there is nothing in it to check for."""
    # In what is written plainly, only an escape makes NUL or a surrogate, and a bracket a level.
    brackets = text.count("{") + text.count("[")
    return brackets <= limits.MAX_JSON_LD_DEPTH and "\\u" not in text and "&" not in text


def _parsed(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    # Forgiving where search engines are: wrapped in a comment, raw line ends in strings.
    text = text.lstrip("\ufeff")
    for _ in range(2):
        text = _WRAPPING.sub("", text)
    try:
        return json.loads(text, strict=False, parse_int=_small_int, parse_constant=_no_number)
    except ValueError:
        return _repaired(text)


def _repaired(text: str) -> object:
    """What is JSON but for comments, trailing commas, single quotes, or escaping as HTML."""
    if len(text) > limits.MAX_BROKEN_JSON_LD_CHARS:
        raise ValueError("too long to be repaired")
    unescaped = html.unescape(text) if "&" in text else text
    # Line ends must stay for comments, and must go from strings: try both.
    attempts = [
        attempt.translate(chars)
        for attempt in (text, unescaped)
        for chars in (_CONTROL_CHARS_BUT_LINE_ENDS, _CONTROL_CHARS)
    ]
    for attempt in dict.fromkeys(attempts):
        with suppress(pyjson5.Json5Exception):
            return _without_odd_numbers(pyjson5.decode(attempt, maxdepth=limits.MAX_JSON_LD_DEPTH))
    raise ValueError("no JSON")


def _without_odd_numbers(value: object) -> object:
    """JSON5 reads NaN, Infinity and integers of any length; records carry none of them."""
    return json.loads(
        json.dumps(value), parse_int=_small_int, parse_float=float, parse_constant=_no_number
    )


def _small_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_INT_DIGITS else float(digits)


def _no_number(name: str) -> None:
    """NaN and Infinity, which JSON has not."""


def _check(value: object) -> None:
    """Raise ValueError for what a record cannot carry: deep nesting, NUL, lone surrogates."""
    if _NUL.search(orjson.dumps(value)):
        raise ValueError("NUL in a string")
    level = [value]
    for _ in range(limits.MAX_JSON_LD_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise ValueError(f"nested deeper than {limits.MAX_JSON_LD_DEPTH}")


def _children(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()
