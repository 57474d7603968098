"""Cleans text from a page."""

from collections.abc import Sequence
from typing import Final

from selectolax.lexbor import LexborNode

# How headings end where a generator of documentation put a link to themselves.
PERMALINK: Final = "¶ "

_NOT_READ: Final = frozenset(("script", "style"))


def collapsed(text: str, max_chars: int) -> str:
    """`text` with single blanks for all white space, cut to `max_chars`."""
    if len(text) <= max_chars:
        return " ".join(text.split())
    # Enough of it to fill max_chars, unless nearly all of it is white space.
    return " ".join(text[: 16 * max_chars].split())[:max_chars].rstrip()


def all_collapsed(texts: Sequence[str], max_chars: int) -> list[str]:
    """`collapsed` of each. Most are short and well-spaced: to see that takes half the time."""
    if max(map(len, texts), default=0) > max_chars:
        return [collapsed(text, max_chars) for text in texts]
    return [
        text
        # No white space is printable but the blank.
        if text.isprintable() and "  " not in text and text.strip(" ") == text
        else " ".join(text.split())
        for text in texts
    ]


def raw_text(node: LexborNode) -> str:
    """All text in an element, but for scripts and style sheets (of inline SVG)."""
    # Not text_lexbor(): its time is quadratic in the number of text nodes.
    text = node.text()
    if "{" not in text:
        return text
    return "".join(
        child.text_content or ""
        for child in node.traverse(include_text=True)
        if child.is_text_node and (child.parent is None or child.parent.tag not in _NOT_READ)
    )


def encodable(text: str) -> str:
    """`text` without NUL, and U+FFFD for lone surrogates, so that it can be written as JSON."""
    if "\0" in text:
        text = text.replace("\0", "")
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
