"""Other libraries' words for layers, losses and initialisers, and which of ours to write: see ``tensorgrad.words``."""

from __future__ import annotations

__all__ = ["FUNCTIONS", "INITIALISERS", "LAYERS", "MODULES"]

LAYERS = {
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNormalization"), "nn.BatchNorm(num_features)"),
    **dict.fromkeys(("Dense", "FullyConnected", "Affine"), "nn.Linear(in_features, out_features)"),
    "Conv2D": "nn.Conv2d",
    "Conv1D": "nn.Conv1d",
    **dict.fromkeys(("Conv2DTranspose", "Deconv2d"), "nn.ConvTranspose2d"),
    "Conv1DTranspose": "nn.ConvTranspose1d",
    "GlobalAveragePooling2D": "nn.AdaptiveAvgPool2d(1), then nn.Flatten()",
    "SpatialDropout2D": "nn.Dropout2d",
    "LSTMCell": "nn.functional.lstm_cell",
    "GRUCell": "nn.functional.gru_cell",
    **dict.fromkeys(("InstanceNorm1d", "InstanceNorm2d"), "nn.functional.instance_norm"),
    "Upsample": "nn.functional.interpolate",
    "TransformerEncoder": "nn.Sequential of nn.TransformerEncoderLayer",
    "LayerNormalization": "nn.LayerNorm",
    "Swish": "nn.SiLU",
    "BCE": "nn.BCELoss",
    "CrossEntropy": "nn.CrossEntropyLoss",
    "MSE": "nn.MSELoss",
    "NLL": "nn.NLLLoss",
    "MLPClassifier": "nn.FNNClassifier",
    "MLPRegressor": "nn.FNNRegressor",
    "GLU": "tg.glu",
    "ReLU6": "tg.relu6",
    "CELU": "tg.celu",
    "CosineLR": "nn.CosineAnnealingLR",
    "EMA": "nn.ExponentialMovingAverage",
    "clip_grad_norm": "nn.clip_grad_norm_",
    "clip_grad_value": "nn.clip_grad_value_",
    "optim": "nn.AdamW, nn.SGD and their like",
    "utils": "nn.clip_grad_norm_ and its like",
    "xavier_uniform_": "nn.init.glorot_uniform",
    "kaiming_uniform_": "nn.init.he_uniform",
}

FUNCTIONS = {
    **{
        name: f"tg.{name}"
        for name in (
            "relu relu6 sigmoid tanh softmax log_softmax gelu elu selu celu silu mish softplus softsign leaky_relu "
            "hardtanh hardsigmoid hardswish glu prelu pad gumbel_softmax"
        ).split()
    },
    "logsigmoid": "tg.log_sigmoid",
    "normalize": "x / tg.linalg.norm(x, axis=1, keepdims=True)",
    "cosine_similarity": "tg.vecdot of vectors divided by tg.linalg.norm",
    "multilabel_margin_loss": "nn.functional.multi_margin_loss, or binary_cross_entropy_with_logits",
}

INITIALISERS = {
    **dict.fromkeys(("kaiming_normal", "kaiming_normal_"), "nn.init.he_normal"),
    **dict.fromkeys(("kaiming_uniform", "kaiming_uniform_"), "nn.init.he_uniform"),
    **dict.fromkeys(("xavier_normal", "xavier_normal_"), "nn.init.glorot_normal"),
    **dict.fromkeys(("xavier_uniform", "xavier_uniform_"), "nn.init.glorot_uniform"),
    "trunc_normal_": "nn.init.truncated_normal",
    "normal_": "nn.init.normal",
    "uniform_": "nn.init.uniform",
    "constant_": "nn.init.constant",
    "zeros_": "nn.init.zeros",
    "ones": "nn.init.constant",
    "ones_": "nn.init.constant",
    "orthogonal_": "nn.init.orthogonal",
    "calculate_gain": "nn.init.gain",
}

MODULES = {
    "weight": "layer.W, or norm.gamma",
    "bias": "layer.b, or norm.beta",
    "cuda": "nothing in its place: arrays are in the memory of the CPU",
    "cpu": "nothing in its place: arrays are in the memory of the CPU",
    "double": "module.to(np.float64)",
    "float": "module.to(np.float32)",
    "half": "module.to(np.float16)",
    "add_module": "module.name = other, as for any attribute",
    "register_module": "module.name = other, as for any attribute",
    "register_parameter": "module.name = nn.Parameter(array)",
    "weights": "module.parameters()",
    "fit": "nn.Model(module, ...).fit",
    "compile": "nn.Model(module, ...), or tg.compile(step)",
    "predict": "module(x), or nn.Model(module, ...).predict",
    "register_full_backward_hook": "output.register_hook(fn), in a forward hook",
    "register_backward_hook": "output.register_hook(fn), in a forward hook",
}
