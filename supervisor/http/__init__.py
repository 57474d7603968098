"""The HTTP API: a server in a process of its own that reads Redis and gives orders through it."""
