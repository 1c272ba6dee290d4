"""The release transaction: what was intended, what happened, and how an interrupted one is settled.

Knows targets and stores only by their protocols. Dagster steps and the command line advance it.
"""
