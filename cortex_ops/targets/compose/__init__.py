"""Releases on one Docker engine: stores, proxy and each release are compose projects of their own.

The candidate starts beside the running release and one switch at the proxy promotes it.
"""
