"""Layers and losses as stateless functions.

Activations are operations of :mod:`tensorgrad`: ``tg.relu``, ``tg.softmax`` and so on.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

import tensorgrad as _tg

from .._words import FUNCTIONS as _FUNCTIONS
from .attention import scaled_dot_product_attention as scaled_dot_product_attention
from .convolution import conv1d as conv1d
from .convolution import conv2d as conv2d
from .convolution import conv_transpose1d as conv_transpose1d
from .convolution import conv_transpose2d as conv_transpose2d
from .ctc import ctc_loss as ctc_loss
from .embedding import embedding as embedding
from .labels import cross_entropy as cross_entropy
from .labels import focal_loss as focal_loss
from .labels import multi_margin_loss as multi_margin_loss
from .labels import nll_loss as nll_loss
from .labels import one_hot as one_hot
from .labels import softmax_focal_loss as softmax_focal_loss
from .layers import batch_norm as batch_norm
from .layers import bilinear as bilinear
from .layers import dropout as dropout
from .layers import dropout1d as dropout1d
from .layers import dropout2d as dropout2d
from .layers import linear as linear
from .losses import binary_cross_entropy as binary_cross_entropy
from .losses import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from .losses import gaussian_nll_loss as gaussian_nll_loss
from .losses import huber_loss as huber_loss
from .losses import kl_div as kl_div
from .losses import l1_loss as l1_loss
from .losses import mse_loss as mse_loss
from .losses import poisson_nll_loss as poisson_nll_loss
from .losses import quantile_loss as quantile_loss
from .losses import smooth_l1_loss as smooth_l1_loss
from .margins import cosine_embedding_loss as cosine_embedding_loss
from .margins import hinge_embedding_loss as hinge_embedding_loss
from .margins import hinge_loss as hinge_loss
from .margins import margin_ranking_loss as margin_ranking_loss
from .margins import soft_margin_loss as soft_margin_loss
from .margins import triplet_margin_loss as triplet_margin_loss
from .normalization import group_norm as group_norm
from .normalization import instance_norm as instance_norm
from .normalization import layer_norm as layer_norm
from .normalization import local_response_norm as local_response_norm
from .normalization import rms_norm as rms_norm
from .pooling import adaptive_avg_pool1d as adaptive_avg_pool1d
from .pooling import adaptive_avg_pool2d as adaptive_avg_pool2d
from .pooling import avg_pool1d as avg_pool1d
from .pooling import avg_pool2d as avg_pool2d
from .pooling import max_pool1d as max_pool1d
from .pooling import max_pool2d as max_pool2d
from .recurrent import gru as gru
from .recurrent import gru_cell as gru_cell
from .recurrent import lstm as lstm
from .recurrent import lstm_cell as lstm_cell
from .sampling import fold as fold
from .sampling import grid_sample as grid_sample
from .sampling import interpolate as interpolate
from .sampling import pixel_shuffle as pixel_shuffle
from .sampling import unfold as unfold

if not _TYPE_CHECKING:  # a type checker would take any name for one that is there
    __getattr__ = _tg.words.unknown_name("nn.functional", globals(), _FUNCTIONS)

__dir__ = _tg.words.public_names(globals())
