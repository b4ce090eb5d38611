"""User-defined modules, for the tests of Module."""

import numpy as np

import nn


class Block(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out, rng=0)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.linear(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = []
        for n_in, n_out in ((4, 3), (3, 3)):
            self.blocks.append(Block(n_in, n_out))
        self.heads = {"left": nn.Linear(3, 2, rng=1), "right": nn.Linear(3, 1, rng=2)}
        self.scale = nn.Parameter(np.ones(1, np.float32))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.heads["left"](x) * self.scale, self.heads["right"](x)
