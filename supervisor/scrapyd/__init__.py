"""scrapyd's JSON API and pages, for the clients that people have."""
