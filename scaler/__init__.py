"""The QoS autoscaler: turns what the edges measure into replicas and tiers."""
