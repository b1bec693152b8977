"""Serve over HTTP: the process that listens, its limits, its errors and its telemetry."""
