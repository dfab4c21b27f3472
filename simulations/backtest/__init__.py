"""Forecasts judged on what came: walk-forward over recorded demand, beside rivals, by horizon."""
