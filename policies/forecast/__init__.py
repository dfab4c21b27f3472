"""Demand forecasters: distributions at given horizons, with measured skill.

`forecaster` is the door (observe, forecast); `spec` what it is told; `bins`, `history`, `features`,
`quantile_regression`, `experts`, `calibration` and `levels` are its parts. `level_trend` is a simpler one.
"""
