"""Makes markup harmless that would cost an HTML5 parser quadratic time or memory.

Measured with Lexbor: each start tag looks through the open elements (100,000 nested <div>: 31 s);
each attribute is compared with the others of its tag (100,000: 31 s); each block opens again what
formatting was left open (2,000 different <b>, then 4,000 <p>, 33 KB in all: 8 s, 3 GB).
A few counts tell usual pages; what lies below the thresholds costs at most about a second or
400 MB. The check of memory is strict. Those of time can be deceived by someone who knows them: what
then holds the worker is for the supervisor to see.
"""

import re
from collections import Counter
from typing import Final

from scraper.extraction.limits import MAX_ATTRIBUTES, MAX_DEPTH, MAX_TAGS

_NEST_FROM_TAGS: Final = 16_384
_LONG_TAG_BYTES: Final = 8_192
_FORMATTING_FROM_TAGS: Final = 2_000
_MAX_REOPENED: Final = 1_000_000
# The parser keeps so many open formatting elements that are equal (the "Noah's Ark clause").
_EQUAL_FORMATTING: Final = 3

# One attribute as the HTML tokenizer reads it. Possessive, so that nothing is tried twice.
_ATTRIBUTE: Final = (
    rb"(?:[\s/]*+[^\s/>][^\s/>=]*+"
    rb"""(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+))?+)"""
)
_MANY_ATTRIBUTES = re.compile(
    rb"(<[a-zA-Z][^\s/>]*+%b{%d})%b++" % (_ATTRIBUTE, MAX_ATTRIBUTES, _ATTRIBUTE)
)
# A formatting start tag; its name and attributes as group 1 where these are of the usual form, so
# that equal ones are written equally. Names spelt out, not (?i): three times as fast.
_FORMATTING = re.compile(
    rb"<(?:(%(name)b(?:\s++[a-zA-Z-]++(?:=%(value)b)?+)*+)\s*+>|%(name)b[\s/>])"
    % {
        b"name": rb"[bcefinstuBCEFINSTU]"
        rb"(?:ig|IG|ode|ODE|m|M|ont|ONT|obr|OBR|mall|MALL|trike|TRIKE|trong|TRONG|t|T)?+",
        b"value": rb"""(?:"[^"<>]*+"|'[^'<>]*+'|[a-zA-Z0-9#-]++)""",
    }
)
_FORMATTING_NAME = re.compile(
    rb"(?i)(</?)(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])"
)

VOID: Final = rb"area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr"
# They cannot nest but in an element that is counted; most pages do not close them all.
_SELF_LIMITING: Final = rb"a|p|li|d[dt]|opt(?:ion|group)|t[rdh]|thead|tbody|tfoot|r[bpt]"
_RAW_TEXT: Final = rb"script|style|textarea|title|xmp|iframe|noembed|noframes"
_NESTING = re.compile(
    rb"(?is)<(?:!--.*?(?:-->|\Z)"
    rb"|(%(raw)b)(?=[\s/>])%(attribute)b*+[^>]*>.*?(?:</\1(?=[\s/>])|\Z)"
    rb"|(/?)(?!(?:%(void)b|%(limiting)b)[\s/>])([a-z][^\s/>]*+)%(attribute)b*+[\s/]*+>?)"
    % {
        b"raw": _RAW_TEXT,
        b"void": VOID,
        b"limiting": _SELF_LIMITING,
        b"attribute": _ATTRIBUTE,
    }
)
_FORMATTING_NAMES: Final = frozenset(
    (b"b", b"big", b"code", b"em", b"font", b"i", b"nobr", b"s", b"small", b"strike", b"strong")
) | {b"tt", b"u"}
_FOREIGN: Final = frozenset((b"svg", b"math"))


def tame_markup(markup: bytes, cuts: set[str]) -> bytes:
    """Markup (UTF-8) that parses in time and memory of its length; adds 'markup' to `cuts`.

    Cut off is what follows the 1,000,000th tag, or the 256th attribute of a tag. Left out are the
    tags of elements that lie deeper than 512 (what is in them stays, links too). Where formatting
    could explode, all of it becomes <span>.
    """
    given = markup
    # Not by count(), which looks at each byte: a third of its time.
    tags = len(markup) - len(markup.replace(b"<", b""))
    if tags > MAX_TAGS:
        markup = _first_tags(markup)
        tags = MAX_TAGS
    if _may_have_long_tag(markup):
        markup = _MANY_ATTRIBUTES.sub(rb"\1", markup)
    if tags > _NEST_FROM_TAGS:
        markup = _NESTING.sub(_Flattener(), markup)
    if len(markup) < len(given):
        cuts.add("markup")
    if tags > _FORMATTING_FROM_TAGS and _may_reopen_much(markup, tags):
        return _FORMATTING_NAME.sub(rb"\1span", markup)
    return markup


def _may_have_long_tag(markup: bytes) -> bool:
    start = 0
    while start + _LONG_TAG_BYTES < len(markup):
        end_of_tag = markup.rfind(b">", start, start + _LONG_TAG_BYTES)
        if end_of_tag < 0:
            return True
        start = end_of_tag + 1
    return False


def _may_reopen_much(markup: bytes, tags: int) -> bool:
    found = _FORMATTING.findall(markup)
    if len(found) * tags <= _MAX_REOPENED:
        return False
    different = len(set(found)) + found.count(b"")
    return different * _EQUAL_FORMATTING * tags > _MAX_REOPENED


def _first_tags(markup: bytes) -> bytes:
    step = 65_536
    end, tags = 0, 0
    while tags <= MAX_TAGS:
        tags += markup.count(b"<", end, end + step)
        end += step
    return markup[: end - step]


class _Flattener:
    """Decides, tag by tag, which tags lie too deep."""

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._left_out: Counter[bytes] = Counter()

    def __call__(self, match: re.Match[bytes]) -> bytes:
        tag = match[0]
        name = match[3]
        if name is None:
            return tag
        name = name.lower()
        is_kept = self._close(name) if match[2] else self._start(name, tag)
        return tag if is_kept else b""

    def _start(self, name: bytes, tag: bytes) -> bool:
        if tag.endswith(b"/>") and not _FOREIGN.isdisjoint(self._open):
            return True
        if len(self._open) >= MAX_DEPTH:
            self._left_out[name] += 1
            return False
        self._open.append(name)
        return True

    def _close(self, name: bytes) -> bool:
        if self._left_out[name]:
            self._left_out[name] -= 1
            return False
        if name in self._open:
            last = len(self._open) - 1 - self._open[::-1].index(name)
            # Ending formatting leaves the blocks open that began inside of it.
            del self._open[last : last + 1 if name in _FORMATTING_NAMES else None]
        return True
