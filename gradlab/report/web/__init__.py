"""A report as one page for a browser: its parts here, its looks in the files beside."""

from gradlab.report.web.page import Page, Table, report_page, write_page

__all__ = ["Page", "Table", "report_page", "write_page"]
