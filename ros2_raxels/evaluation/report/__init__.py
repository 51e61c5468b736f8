"""The report as a page, tables and charts."""
