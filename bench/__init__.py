"""Benchmarks: this edge and its peers in the same run."""
