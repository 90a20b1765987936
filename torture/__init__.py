"""Faults on purpose: what `make torture` and the short versions in the tests strike runs with."""
