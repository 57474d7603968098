"""Estimates how many tokens a language model makes of a text, without a tokenizer."""

import math
import re
from typing import Final

# How tokenizers of today split before they merge: words with the blank before them, numbers by
# three digits, runs of signs, white space.
_WORD: Final = re.compile(r"[A-Za-z]+|[0-9]{1,3}|[^\sA-Za-z0-9\u0080-\U0010ffff]{1,3}|\n+")
_NOT_ASCII: Final = re.compile(r"[\u0080-\U0010ffff]")
_WIDE: Final = re.compile(
    r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
_LETTERS_A_TOKEN: Final = 8
_WIDE_A_CHAR: Final = 0.9
_OTHER_A_CHAR: Final = 0.4


def estimate_tokens(text: str) -> int:
    """The estimate: one for each run of up to 8 ASCII letters, up to 3 digits or up to 3 signs, and
    for line ends; 0.9 for each Chinese, Japanese or Korean character; 0.4 for each other one.

    Measured against real tokenizers: see docs/extraction.md.
    """
    pieces = _WORD.findall(text)
    words = sum(
        1 if len(piece) <= _LETTERS_A_TOKEN else math.ceil(len(piece) / _LETTERS_A_TOKEN)
        for piece in pieces
    )
    if text.isascii():
        return words
    wide = len(_WIDE.findall(text))
    other = len(_NOT_ASCII.findall(text)) - wide
    return words + math.ceil(_WIDE_A_CHAR * wide + _OTHER_A_CHAR * other)
