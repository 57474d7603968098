"""Splits markdown into chunks that fit a language model's context, each with its headings."""

import re
from collections.abc import Iterator
from typing import Final, TypedDict

from scraper.extraction.limits import MAX_CHUNKS
from scraper.extraction.main_content.tokens import estimate_tokens

MAX_CHUNK_TOKENS: Final = 400
_FENCE = re.compile(r"(`{3,}|~{3,})")
_HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*\s*")
_SENTENCE_ENDS = re.compile(r"(?<=[.!?。！？])\s+|\n")
_MARKUP = re.compile(r"!?\[([^\]\[]{0,500})\]\([^()\s]{0,2048}\)|[*_`]{1,3}")
_MAX_PIECE_CHARS: Final = 2_000


class Chunk(TypedDict):
    """A piece of the page's markdown. `headingPath` has the headings above it, outermost first."""

    index: int
    headingPath: list[str]
    text: str
    tokenEstimate: int


def split_markdown(markdown: str, cuts: set[str]) -> list[Chunk]:
    """The chunks of a page: as many whole blocks of one section as fit 400 tokens; a block that is
    larger is split by lines, sentences and at last by length. Adds 'chunks' to `cuts`.
    """
    chunks: list[Chunk] = []
    for path, blocks in _sections(markdown):
        for text in _packed(piece for block in blocks for piece in _pieces(block)):
            if len(chunks) == MAX_CHUNKS:
                cuts.add("chunks")
                return chunks
            tokens = estimate_tokens(text)
            chunks.append(
                {"index": len(chunks), "headingPath": path, "text": text, "tokenEstimate": tokens}
            )
    return chunks


def _sections(markdown: str) -> Iterator[tuple[list[str], list[str]]]:
    """The headings above, and the blocks, of each part of the text that is under one heading."""
    levels: list[tuple[int, str]] = []
    blocks: list[str] = []
    for block in _blocks(markdown):
        heading = _HEADING.fullmatch(block)
        if heading is None:
            blocks.append(block)
            continue
        if blocks:
            yield [text for _, text in levels], blocks
        level = len(heading[1])
        levels = [one for one in levels if one[0] < level]
        levels.append((level, _MARKUP.sub(r"\1", heading[2])[:500]))
        blocks = []
    if blocks:
        yield [text for _, text in levels], blocks


def _blocks(markdown: str) -> Iterator[str]:
    """Paragraphs, lists, tables and code blocks; a heading is a block of its own."""
    lines: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        mark = _FENCE.match(line.lstrip())
        if fence:
            lines.append(line)
            if mark and mark[1].startswith(fence):
                fence = ""
            continue
        if mark:
            fence = mark[1]
        if not line.strip() or _HEADING.fullmatch(line):
            if lines:
                yield "\n".join(lines)
            lines = []
            if line.strip():
                yield line
        else:
            lines.append(line)
    if lines:
        yield "\n".join(lines)


def _packed(pieces: Iterator[str]) -> Iterator[str]:
    held: list[str] = []
    tokens = 0
    for piece in pieces:
        size = estimate_tokens(piece) + 1  # what joins it
        if held and tokens + size > MAX_CHUNK_TOKENS:
            yield "\n\n".join(held)
            held, tokens = [], 0
        held.append(piece)
        tokens += size
    if held:
        yield "\n\n".join(held)


def _pieces(block: str) -> Iterator[str]:
    """The block itself, or where it is too large its parts; those of a table repeat its head."""
    if estimate_tokens(block) <= MAX_CHUNK_TOKENS:
        yield block
        return
    lines = block.split("\n")
    head: list[str] = []
    joint = "\n"
    if len(lines) > 2 and lines[0].startswith("|") and lines[1].startswith("| -"):
        head, lines = lines[:2], lines[2:]
    elif len(lines) == 1:
        lines, joint = [part for part in _SENTENCE_ENDS.split(block) if part], " "
    held = list(head)
    tokens = estimate_tokens("\n".join(head))
    for line in lines:
        for part in _short(line):
            size = estimate_tokens(part) + 1
            if len(held) > len(head) and tokens + size > MAX_CHUNK_TOKENS:
                yield joint.join(held)
                held, tokens = list(head), estimate_tokens("\n".join(head))
            held.append(part)
            tokens += size
    if len(held) > len(head):
        yield joint.join(held)


def _short(line: str) -> Iterator[str]:
    if estimate_tokens(line) <= MAX_CHUNK_TOKENS:
        yield line
        return
    for part in _SENTENCE_ENDS.split(line):
        # The estimate never says less than a token for eight characters of a word, or for one sign.
        step = _MAX_PIECE_CHARS if part.isascii() and " " in part[:200] else MAX_CHUNK_TOKENS
        for start in range(0, len(part), step):
            yield part[start : start + step]
