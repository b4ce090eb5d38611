"""Backwards written by hand, right and wrong, for tests of the referee."""
