"""Layers and what is made of them, a family a file."""
