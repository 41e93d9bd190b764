"""Clients of the gateway: a studio that pushes and a probe that watches."""
