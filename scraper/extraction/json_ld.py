"""The JSON-LD blocks of a page."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import orjson
from selectolax.lexbor import LexborNode

from scraper.extraction import limits

# Old templates hide the JSON from browsers that know no scripts.
_WRAPPING = re.compile(r"\A\s*(?:<!--|//\s*<!\[CDATA\[|<!\[CDATA\[)|(?:-->|(?://\s*)?\]\]>|;)\s*\Z")
# As JSON writes it; an even number of backslashes before it would make it text.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_MAX_INT_DIGITS: Final = 18


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
        _check(value)
    except (TypeError, ValueError, RecursionError):
        found.broken += 1
        return
    items = value if isinstance(value, list) else [value]
    objects = [item for item in items if isinstance(item, dict)]
    found.objects += objects
    if not objects and items:
        found.broken += 1


def _parsed(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # Forgiving where search engines are: wrapped in a comment, raw line ends in strings.
        text = text.lstrip("\ufeff")
        for _ in range(2):
            text = _WRAPPING.sub("", text)
        return json.loads(text, strict=False, parse_int=_small_int, parse_constant=_no_number)


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
