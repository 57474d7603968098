"""Runs and watches workers: the service, its command line, its events."""
