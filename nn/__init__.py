"""nn: layers, losses and optimisers built on tensorgrad.

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

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

import tensorgrad as _tg

from . import functional as functional
from . import init as init
from . import metrics as metrics
from . import parallel as parallel
from ._exchange.onnx import to_onnx as to_onnx
from ._exchange.pytorch import from_torch as from_torch
from ._exchange.pytorch import to_torch as to_torch
from ._files.registry import fill as _fill
from ._files.saving import load as load
from ._files.saving import save as save
from ._layers.activations import ELU as ELU
from ._layers.activations import GELU as GELU
from ._layers.activations import SELU as SELU
from ._layers.activations import Hardtanh as Hardtanh
from ._layers.activations import LeakyReLU as LeakyReLU
from ._layers.activations import LogSoftmax as LogSoftmax
from ._layers.activations import Mish as Mish
from ._layers.activations import PReLU as PReLU
from ._layers.activations import ReLU as ReLU
from ._layers.activations import Sigmoid as Sigmoid
from ._layers.activations import SiLU as SiLU
from ._layers.activations import Softmax as Softmax
from ._layers.activations import Softplus as Softplus
from ._layers.activations import Softsign as Softsign
from ._layers.activations import Tanh as Tanh
from ._layers.attention import MultiheadAttention as MultiheadAttention
from ._layers.containers import Identity as Identity
from ._layers.containers import ModuleDict as ModuleDict
from ._layers.containers import ModuleList as ModuleList
from ._layers.containers import Residual as Residual
from ._layers.containers import Sequential as Sequential
from ._layers.convolution import Conv1d as Conv1d
from ._layers.convolution import Conv2d as Conv2d
from ._layers.convolution import ConvTranspose1d as ConvTranspose1d
from ._layers.convolution import ConvTranspose2d as ConvTranspose2d
from ._layers.dropout import Dropout as Dropout
from ._layers.dropout import Dropout1d as Dropout1d
from ._layers.dropout import Dropout2d as Dropout2d
from ._layers.embedding import Embedding as Embedding
from ._layers.linear import Linear as Linear
from ._layers.normalization import BatchNorm as BatchNorm
from ._layers.normalization import GroupNorm as GroupNorm
from ._layers.normalization import LayerNorm as LayerNorm
from ._layers.normalization import RMSNorm as RMSNorm
from ._layers.penalty import penalty as penalty
from ._layers.pooling import AdaptiveAvgPool1d as AdaptiveAvgPool1d
from ._layers.pooling import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from ._layers.pooling import AvgPool1d as AvgPool1d
from ._layers.pooling import AvgPool2d as AvgPool2d
from ._layers.pooling import Flatten as Flatten
from ._layers.pooling import MaxPool1d as MaxPool1d
from ._layers.pooling import MaxPool2d as MaxPool2d
from ._layers.recurrent import GRU as GRU
from ._layers.recurrent import LSTM as LSTM
from ._layers.standardize import Standardize as Standardize
from ._layers.transformer import TransformerEncoderLayer as TransformerEncoderLayer
from ._losses import BCELoss as BCELoss
from ._losses import BCEWithLogitsLoss as BCEWithLogitsLoss
from ._losses import CrossEntropyLoss as CrossEntropyLoss
from ._losses import GaussianNLLLoss as GaussianNLLLoss
from ._losses import HingeLoss as HingeLoss
from ._losses import HuberLoss as HuberLoss
from ._losses import KLDivLoss as KLDivLoss
from ._losses import L1Loss as L1Loss
from ._losses import MSELoss as MSELoss
from ._losses import NLLLoss as NLLLoss
from ._losses import PoissonNLLLoss as PoissonNLLLoss
from ._losses import QuantileLoss as QuantileLoss
from ._losses import SmoothL1Loss as SmoothL1Loss
from ._models.layer import Layer as Layer
from ._models.mlp import MLP as MLP
from ._module import Module as Module
from ._monitor.forecast import Forecast as Forecast
from ._monitor.forecast import forecast as forecast
from ._monitor.monitor import GradientMonitor as GradientMonitor
from ._monitor.verdict import Verdict as Verdict
from ._optim.adam import Adam as Adam
from ._optim.adam import AdamW as AdamW
from ._optim.adaptive import Adadelta as Adadelta
from ._optim.adaptive import Adagrad as Adagrad
from ._optim.adaptive import RMSprop as RMSprop
from ._optim.averaging import ExponentialMovingAverage as ExponentialMovingAverage
from ._optim.clipping import clip_grad_norm_ as clip_grad_norm_
from ._optim.clipping import clip_grad_value_ as clip_grad_value_
from ._optim.cyclic import CyclicLR as CyclicLR
from ._optim.grouping import no_decay as no_decay
from ._optim.lbfgs import LBFGS as LBFGS
from ._optim.lion import Lion as Lion
from ._optim.nadam import NAdam as NAdam
from ._optim.nadam import RAdam as RAdam
from ._optim.one_cycle import OneCycleLR as OneCycleLR
from ._optim.optimizer import Optimizer as Optimizer
from ._optim.plateau import ReduceLROnPlateau as ReduceLROnPlateau
from ._optim.scheduler import LRScheduler as LRScheduler
from ._optim.schedules import CosineAnnealingLR as CosineAnnealingLR
from ._optim.schedules import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from ._optim.schedules import ExponentialLR as ExponentialLR
from ._optim.schedules import LambdaLR as LambdaLR
from ._optim.schedules import LinearLR as LinearLR
from ._optim.schedules import MultiStepLR as MultiStepLR
from ._optim.schedules import PolynomialLR as PolynomialLR
from ._optim.schedules import StepLR as StepLR
from ._optim.sequence import SequentialLR as SequentialLR
from ._optim.sgd import SGD as SGD
from ._parameter import Parameter as Parameter
from ._running import running_path as running_path
from ._training.callbacks import Callback as Callback
from ._training.callbacks import EarlyStopping as EarlyStopping
from ._training.callbacks import Fit as Fit
from ._training.checkpoint import Checkpoint as Checkpoint
from ._training.history import History as History
from ._training.logs import CSVLog as CSVLog
from ._training.logs import TensorBoard as TensorBoard
from ._training.model import Model as Model
from ._words import LAYERS as _LAYERS

_tg.hide_frames(__file__)
_fill({**globals(), "SyncBatchNorm": parallel.SyncBatchNorm})


def __dir__() -> list[str]:
    names = _tg.words.public_names(globals(), ("functional", "init", "metrics", "parallel"))()
    return sorted({*names, "FNNClassifier", "FNNRegressor"})


if _TYPE_CHECKING:
    from ._estimators import FNNClassifier as FNNClassifier
    from ._estimators import FNNRegressor as FNNRegressor


def __getattr__(name: str) -> _Any:
    """Import the estimators, which need scikit-learn, on first use."""
    if name not in ("FNNClassifier", "FNNRegressor"):
        raise _tg.words.UnknownName("module nn", name, _LAYERS, lambda: globals())
    try:
        from . import _estimators
    except ModuleNotFoundError as error:
        raise ImportError(f"nn.{name} needs scikit-learn: pip install 'tensorgrad-np[sklearn]'") from error
    return getattr(_estimators, name)
