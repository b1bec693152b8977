"""Foundations of all packages: atomic files, errors, progress, params, tables, curves, processes.

Contract: this package imports nothing else of cir.
"""
