"""The sites that contenders crawl."""
