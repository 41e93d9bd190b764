"""The running edge: real data plane, real DTLS, real HTTP, on loopback and free ports."""
