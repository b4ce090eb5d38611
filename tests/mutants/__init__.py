"""Small mutations of the sources, and which of them the tests find: see ``__main__``."""
