"""The dashboard as code: one file for each row, put together in `dashboard.py`."""
