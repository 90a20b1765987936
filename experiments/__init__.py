"""Experiments: each is run by `python -m experiments.NAME` and writes a page of docs/results."""
