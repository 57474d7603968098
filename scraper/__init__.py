"""Scrapy workers that lease pages of shared jobs from Redis."""
