"""Suites: a file for each subject, with `NAME`, what it tells, and `run`."""
