"""What finished runs tell: one page per run, one per sweep, one table over many runs."""

from fer_ssl.reports.page import write_report
from fer_ssl.reports.run import Run
from fer_ssl.reports.sweep_page import write_sweep
from fer_ssl.reports.table import write_table

__all__ = ["Run", "write_report", "write_sweep", "write_table"]
