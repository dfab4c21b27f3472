"""The flagship policy: demand, its distribution at the lead time, capacity, replicas, behavior."""
