"""Measurements of speed and memory, each against a limit: see docs/performance.md."""
