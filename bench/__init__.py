"""Measurements side by side with the raw tools: `python -m bench [case …]`. Never part of the tests."""
