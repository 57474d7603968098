"""Makes markup harmless for which an HTML5 parser needs quadratic time or memory.

Three things do that, all found by experiment: each start tag looks through the open elements
(100,000 nested <div>: 31 s); each attribute is compared with those before it in its tag
(100,000: 31 s); unclosed formatting elements are opened again in every block (2,000 different <b>
and 4,000 <p>, 33 KB: 8 s and 3 GB). Usual pages are told by a few counts; what a page below
the thresholds can cost at most is about a second or 250 MB.
"""

import re
from typing import Final

from scraper.extraction.limits import MAX_ATTRIBUTES, MAX_DEPTH, MAX_TAGS

_DEPTH_FROM_TAGS: Final = 16_384
_ATTRIBUTES_FROM_BYTES: Final = 131_072
_FORMATTING_FROM_TAGS: Final = 1_500
_MAX_REOPENED: Final = 500_000
# An HTML parser keeps at most this many equal formatting elements ("Noah's Ark clause").
_EQUAL_FORMATTING: Final = 3

# One attribute as the HTML tokenizer reads it. Possessive, so that nothing is tried twice.
_ATTRIBUTE = (
    rb"(?:[\s/]*+[^\s/>][^\s/>=]*+"
    rb"""(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+))?+)"""
)
_MANY_ATTRIBUTES = re.compile(
    rb"(<[a-zA-Z][^\s/>]*+%b{%d})%b++" % (_ATTRIBUTE, MAX_ATTRIBUTES, _ATTRIBUTE)
)
_FORMATTING = rb"(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])"
# Without attributes there are only 13 different ones: they do not count.
_FORMATTING_WITH_ATTRIBUTES = re.compile(
    rb"<(?:[biuBIU]|[sS](?:mall|MALL|trike|TRIKE|trong|TRONG)?|[cC](?:ode|ODE)|[eE][mM]"
    rb"|[fF](?:ont|ONT)|[nN](?:obr|OBR)|[bB][iI][gG]|[tT][tT])[\s/]"
)
_FORMATTING_TAG = re.compile(rb"(?i)<" + _FORMATTING + _ATTRIBUTE + rb"*+")
_FORMATTING_NAME = re.compile(rb"(?i)(</?)(" + _FORMATTING + rb")")

_RAW_TEXT = rb"script|style|textarea|title|xmp|iframe|noembed|noframes"
_TOKEN = re.compile(
    rb"(?is)<!--.*?(?:-->|\Z)|<(%b)(?=[\s/>])%b*+[^>]*>.*?(?:</\1(?=[\s/>])|\Z)"
    rb"|<(/?)([a-z][^\s/>]*+)%b*+[\s/]*+>?" % (_RAW_TEXT, _ATTRIBUTE, _ATTRIBUTE)
)
