"""Offers, answers, grants and sessions, tested with values."""
