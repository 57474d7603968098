"""XHTML that is served as such, for an HTML parser: elements that close themselves are closed.

An XML parser, as browsers have one for these types, ends `<script src="x.js"/>` at once; an HTML
parser takes all that follows for the script.
"""

import re
from typing import Final

from scraper.extraction.content_type import is_xml
from scraper.extraction.tame_markup import VOID

# Without quotes, "<" begins the next tag: so each byte is looked at once, also where no tag ends.
_ATTRIBUTE: Final = (
    rb"(?:[\s/]*+[^\s/><][^\s/>=<]*+"
    rb"""(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'<][^\s><]*+))?+)"""
)
_SELF_CLOSED: Final = re.compile(
    rb"<(?!(?:%(void)b)[\s/>])([a-zA-Z][^\s/><]*+)(%(attribute)b*+)\s*+/>"
    % {b"void": VOID, b"attribute": _ATTRIBUTE}
)


def html_of_xhtml(markup: bytes, content_type: str | None) -> bytes:
    """The markup (UTF-8) as an HTML parser reads it rightly; as it is where it is no XML."""
    if not is_xml(content_type) or b"/>" not in markup:
        return markup
    return _SELF_CLOSED.sub(rb"<\1\2></\1>", markup)
