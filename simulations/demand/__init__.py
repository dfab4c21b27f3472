"""Demand: readers of recordings and tables, generators, and what can be done to any of them.

`text.demand_from` takes what people type; the other modules are its parts.
"""
