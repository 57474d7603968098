"""Job types: one file each, named as the type."""
