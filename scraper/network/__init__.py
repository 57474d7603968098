"""Fetching pages: download handler, downloader, middlewares, address guard, failure codes."""
