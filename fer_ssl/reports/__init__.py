"""What a finished run tells: one page per run, one table over runs."""

from fer_ssl.reports.page import write_report
from fer_ssl.reports.run import Run
from fer_ssl.reports.table import write_table

__all__ = ["Run", "write_report", "write_table"]
