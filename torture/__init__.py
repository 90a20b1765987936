"""Faults and attacks on purpose: what `make torture`, and shorter the tests, try prac with."""
