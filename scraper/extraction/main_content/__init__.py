"""The main content of a page for language models: markdown, chunks, tables."""

from scraper.extraction.main_content.read import MainContent, read_main_content
from scraper.extraction.main_content.tokens import estimate_tokens

__all__ = ["MainContent", "estimate_tokens", "read_main_content"]
