"""Demand forecasters: distributions at given horizons, with measured skill."""
