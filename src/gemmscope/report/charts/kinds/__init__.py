"""One module for each chart of a run, with a ``CHART`` that :mod:`gemmscope.report.charts.picture` finds."""
