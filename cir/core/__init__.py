"""Shared foundations: files that appear whole, errors, progress, params, curves, processes.

This package imports nothing else of cir."""
