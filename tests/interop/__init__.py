"""The edge against programs that other people wrote, and against bad networks."""
