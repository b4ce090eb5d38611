"""Training on several processes and machines, over MPI (``pip install 'tensorgrad-np[mpi-local]'``).

>>> import numpy as np, nn, nn.parallel
>>> X = np.linspace(-1, 1, 64).reshape(-1, 1)
>>> with nn.parallel.init() as comm:
...     model = nn.Model(nn.MLP([1, 16, 1], rng=0), loss="mse", rng=0)
...     history = model.fit(X, X**2, epochs=20, batch_size=16)
>>> history["loss"][-1] < history["loss"][0]
True

In a file ``train.py``, this runs on four processes with ``python -m nn.parallel -n 4 train.py``.
"""

import tensorgrad as _tg

from .communicator import Communicator as Communicator
from .communicator import init as init
from .gradients import DataParallel as DataParallel
from .sampler import ShardSampler as ShardSampler
from .sync import SyncBatchNorm as SyncBatchNorm
from .sync import convert_sync_batchnorm as convert_sync_batchnorm

__dir__ = _tg.words.public_names(globals())
