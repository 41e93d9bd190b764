"""Acts: the only place with sockets, timers, randomness and logs."""
