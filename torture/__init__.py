"""Attacks on prac that take longer, or go further, than its tests."""
