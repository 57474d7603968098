"""Who takes part: one file each, and the protocol that they keep."""
