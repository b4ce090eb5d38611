"""nn: layers, losses and optimisers on tensorgrad.

>>> import numpy as np, tensorgrad as tg, nn
>>> model = nn.MLP([2, 8, 2], rng=0)
>>> optimizer = nn.AdamW(model.parameters(), lr=0.05)
>>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
>>> for _ in range(200):
...     loss = nn.functional.cross_entropy(model(x), [0, 1, 1, 0])
...     optimizer.zero_grad()
...     loss.backward()
...     optimizer.step()
>>> model(x).data.argmax(axis=1).tolist()
[0, 1, 1, 0]
"""

import tensorgrad as _tg

from . import functional as functional
from . import init as init
from ._activations import LeakyReLU as LeakyReLU
from ._activations import ReLU as ReLU
from ._activations import Sigmoid as Sigmoid
from ._activations import Softmax as Softmax
from ._activations import Tanh as Tanh
from ._clipping import clip_grad_norm_ as clip_grad_norm_
from ._clipping import clip_grad_value_ as clip_grad_value_
from ._containers import MLP as MLP
from ._containers import Sequential as Sequential
from ._dropout import Dropout as Dropout
from ._linear import Linear as Linear
from ._losses import BCEWithLogitsLoss as BCEWithLogitsLoss
from ._losses import CrossEntropyLoss as CrossEntropyLoss
from ._losses import MSELoss as MSELoss
from ._module import Module as Module
from ._normalization import BatchNorm as BatchNorm
from ._optimizer import Optimizer as Optimizer
from ._optimizers import SGD as SGD
from ._optimizers import Adam as Adam
from ._optimizers import AdamW as AdamW
from ._parameter import Parameter as Parameter

_tg.hide_frames(__file__)
