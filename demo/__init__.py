"""``make demo``: networks with healthy and with vanishing gradients, trained side by side on real digits."""
