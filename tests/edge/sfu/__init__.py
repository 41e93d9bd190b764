"""Streams, tested with values."""
