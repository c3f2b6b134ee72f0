"""The site of ``docs/``: its navigation, what comes along from outside, and its pictures."""
