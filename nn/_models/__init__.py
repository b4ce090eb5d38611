"""Models built from a description of their layers."""
