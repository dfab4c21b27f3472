"""Many runs of one scenario with its fields varied: the points, the cells, where they run and where they are kept."""
