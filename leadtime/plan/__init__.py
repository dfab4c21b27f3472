"""`leadtime plan`: which GPU, how many, which node pools, what quota and when, how much spot, and what it costs."""
