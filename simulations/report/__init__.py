"""Self-contained HTML pages about runs: one scenario, several scenarios, a sweep. None makes a network request."""

from simulations.report.comparison import comparison_html
from simulations.report.frontier import frontier_html
from simulations.report.scenario_page import report_html

__all__ = ["comparison_html", "frontier_html", "report_html"]
