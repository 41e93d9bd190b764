"""Thinks: SDP, WHIP and WHEP sessions, grants. No clock, no socket, no randomness."""
