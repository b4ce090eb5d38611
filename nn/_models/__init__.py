"""Models made from a description of their layers."""
