"""Secrets by reference: where values come from, how a version names one, which files a consumer gets.

Values leave here only as `Secret` towards a target's delivery; nothing here is rendered.
"""
