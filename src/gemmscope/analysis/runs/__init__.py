"""Runs against each other: what changed between them, and whether a library or the machine did it."""
