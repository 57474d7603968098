"""Scrapy extensions of the worker: one duty a file."""
