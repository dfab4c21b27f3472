"""`leadtime demo`: recorded demand, simulated pods, the real adapter over real sockets, in virtual time."""
