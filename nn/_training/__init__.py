"""Training: the loop, its data, its reports, and callbacks."""
