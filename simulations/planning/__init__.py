"""What a capacity plan is computed from: a search over one setting, nodes over time, growth, intervals, the worst hour.

Nothing here runs a simulation or reads a file: `leadtime.plan` does both and hands the figures in.
"""
