"""The product of a shop page: one record, merged from all that the page says of it."""

from scraper.extraction.product.merge import read_product

__all__ = ["read_product"]
