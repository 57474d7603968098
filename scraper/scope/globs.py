"""Translates path globs to RE2 expressions."""

import re
from typing import Final

from scraper.scope.canonical import escape_path

# One character of a canonical path: an escaped one is as long as its UTF-8 sequence.
_ONE_CHAR: Final = (
    r"(?:[^/?%]|%[0-7][0-9A-F]|%[CD][0-9A-F]%[89AB][0-9A-F]"
    r"|%E[0-9A-F](?:%[89AB][0-9A-F]){2}|%F[0-9A-F](?:%[89AB][0-9A-F]){3}|%)"
)
_WILDCARDS: Final = {"?": _ONE_CHAR, "*": "[^/?]*", "**": "[^?]*"}
_WILDCARD = re.compile(r"(\*\*|\*|\?)")
_ANY_SEGMENTS: Final = r"(?:/[^?]*)?"
_END_OF_PATH: Final = r"(?:\?|$)"


def glob_to_re2(glob: str) -> str:
    """The RE2 expression that finds `glob` in a canonical path with its query.

    '*' stands for any characters of one segment, '**' for any across segments and, as a whole
    segment, for none too: '/blog/**' matches '/blog', '/blog/' and all below. '?' stands for one
    character. A glob without a leading '/' may begin at any segment. Globs see no query.
    Raises ValueError with the reason for what cannot be meant as a path.
    """
    _refuse_misunderstandings(glob)
    segments = glob.split("/")[1:] if glob.startswith("/") else ["**", *glob.split("/")]
    translated = "".join(
        _ANY_SEGMENTS if segment == "**" else "/" + _segment_to_re2(segment) for segment in segments
    )
    return f"^{translated}{_END_OF_PATH}"


def _segment_to_re2(segment: str) -> str:
    return "".join(
        _WILDCARDS[part] if part in _WILDCARDS else re.escape(escape_path(part))
        for part in _WILDCARD.split(segment)
    )


def _refuse_misunderstandings(glob: str) -> None:
    if not glob:
        raise ValueError("a path rule cannot be empty")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|//", glob):
        raise ValueError("a path rule begins after the host: write '/blog/**'")
    if "\\" in glob:
        raise ValueError("globs know no backslash escapes: use a 're:' rule")
