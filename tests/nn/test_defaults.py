"""The defaults of arguments: nn's documentation, and PyTorch's where it has the same name."""

import inspect

import pytest

import nn

# Defaults other than None, dtypes and generators; and without those that are the same everywhere.
ALIKE = {"reduction": "mean", "skip_nonfinite": False}
DEFAULTS = {
    "Adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-06, "weight_decay": 0.0},
    "Adagrad": {"lr": 0.01, "lr_decay": 0.0, "eps": 1e-10, "initial_accumulator_value": 0.0, "weight_decay": 0.0},
    "Adam": {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-08, "weight_decay": 0.0, "amsgrad": False},
    "AdamW": {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-08, "weight_decay": 0.01, "amsgrad": False},
    "AvgPool1d": {"padding": 0, "count_include_pad": True},
    "AvgPool2d": {"padding": 0, "count_include_pad": True},
    "BatchNorm": {"momentum": 0.9, "eps": 1e-05, "affine": True, "unbiased": True, "track_running_stats": True},
    "Checkpoint": {"every": 1, "resume": False},
    "Conv1d": {
        "stride": 1,
        "padding": 0,
        "dilation": 1,
        "groups": 1,
        "bias": True,
        "l1": 0.0,
        "l2": 0.0,
        "init": "he_normal",
    },
    "Conv2d": {
        "stride": 1,
        "padding": 0,
        "dilation": 1,
        "groups": 1,
        "bias": True,
        "l1": 0.0,
        "l2": 0.0,
        "init": "he_normal",
    },
    "ConvTranspose1d": {
        "stride": 1,
        "padding": 0,
        "output_padding": 0,
        "groups": 1,
        "bias": True,
        "dilation": 1,
        "l1": 0.0,
        "l2": 0.0,
        "init": "he_normal",
    },
    "ConvTranspose2d": {
        "stride": 1,
        "padding": 0,
        "output_padding": 0,
        "groups": 1,
        "bias": True,
        "dilation": 1,
        "l1": 0.0,
        "l2": 0.0,
        "init": "he_normal",
    },
    "CosineAnnealingLR": {"eta_min": 0.0},
    "CosineAnnealingWarmRestarts": {"T_mult": 1, "eta_min": 0.0},
    "CrossEntropyLoss": {"label_smoothing": 0.0},
    "CyclicLR": {
        "step_size_up": 2000,
        "mode": "triangular",
        "gamma": 1.0,
        "cycle_momentum": True,
        "base_momentum": 0.8,
        "max_momentum": 0.9,
    },
    "Dropout": {"p": 0.5},
    "Dropout1d": {"p": 0.5},
    "Dropout2d": {"p": 0.5},
    "ELU": {"alpha": 1.0},
    "EarlyStopping": {
        "monitor": "val_loss",
        "patience": 10,
        "min_delta": 0.0,
        "mode": "auto",
        "restore_best": True,
        "start_from_epoch": 0,
    },
    "Embedding": {"init": "normal"},
    "ExponentialMovingAverage": {"decay": 0.999},
    "Flatten": {"start_axis": 1, "end_axis": -1},
    "GELU": {"approximate": "none"},
    "GradientMonitor": {"every": 10, "verbose": True},
    "GRU": {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False},
    "GaussianNLLLoss": {"full": False, "eps": 1e-06},
    "GroupNorm": {"eps": 1e-05, "affine": True},
    "Hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "HuberLoss": {"delta": 1.0},
    "KLDivLoss": {"log_target": False},
    "LBFGS": {"max_iter": 20, "tolerance_grad": 1e-07, "tolerance_change": 1e-09, "history_size": 100},
    "LSTM": {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False},
    "Layer": {"activation": "auto", "dropout": 0.0, "l1": 0.0, "l2": 0.0},
    "LayerNorm": {"eps": 1e-05, "affine": True, "bias": True},
    "LeakyReLU": {"negative_slope": 0.01},
    "Linear": {"bias": True, "l1": 0.0, "l2": 0.0, "init": "he_normal"},
    "LinearLR": {"start_factor": 1 / 3, "end_factor": 1.0, "total_iters": 5},
    "Lion": {"lr": 0.0001, "betas": (0.9, 0.99), "weight_decay": 0.0},
    "LogSoftmax": {"axis": -1},
    "MLP": {"activation": "relu", "dropout": 0.0, "l1": 0.0, "l2": 0.0},
    "MaxPool1d": {"padding": 0, "dilation": 1},
    "MaxPool2d": {"padding": 0, "dilation": 1},
    "Model": {"loss": "cross_entropy", "optimizer": "adamw", "schedule_every": "epoch"},
    "MultiStepLR": {"gamma": 0.1},
    "MultiheadAttention": {"dropout": 0.0, "bias": True, "init": "glorot_uniform"},
    "NAdam": {
        "lr": 0.002,
        "betas": (0.9, 0.999),
        "eps": 1e-08,
        "weight_decay": 0.0,
        "momentum_decay": 0.004,
        "decoupled_weight_decay": False,
    },
    "OneCycleLR": {
        "pct_start": 0.3,
        "anneal_strategy": "cos",
        "cycle_momentum": True,
        "base_momentum": 0.85,
        "max_momentum": 0.95,
        "div_factor": 25.0,
        "final_div_factor": 10000.0,
        "three_phase": False,
    },
    "PReLU": {"num_parameters": 1, "init": 0.25},
    "PolynomialLR": {"total_iters": 5, "power": 1.0},
    "RAdam": {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-08, "weight_decay": 0.0, "decoupled_weight_decay": False},
    "RMSNorm": {"affine": True},
    "PoissonNLLLoss": {"log_input": True, "full": False, "eps": 1e-08},
    "QuantileLoss": {"q": 0.5},
    "RMSprop": {"lr": 0.01, "alpha": 0.99, "eps": 1e-08, "momentum": 0.0, "centered": False, "weight_decay": 0.0},
    "ReduceLROnPlateau": {
        "mode": "auto",
        "factor": 0.1,
        "patience": 10,
        "threshold": 0.0001,
        "threshold_mode": "rel",
        "cooldown": 0,
        "min_lr": 0.0,
        "eps": 1e-08,
    },
    "SGD": {"lr": 0.001, "momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0},
    "SmoothL1Loss": {"beta": 1.0},
    "Softmax": {"axis": -1},
    "Softplus": {"beta": 1.0},
    "StepLR": {"gamma": 0.1},
    "TransformerEncoderLayer": {
        "bias": True,
        "dim_feedforward": 2048,
        "dropout": 0.1,
        "activation": "relu",
        "layer_norm_eps": 1e-05,
        "norm_first": False,
    },
    "clip_grad_norm_": {"norm_type": 2.0, "error_if_nonfinite": True},
    "to_onnx": {"batch_axis": 0},
    "FNNClassifier": {
        "hidden_dims": (100,),
        "activation": "relu",
        "dropout": 0.0,
        "l1": 0.0,
        "l2": 0.0,
        "standardize": False,
        "optimizer": "adam",
        "lr": 0.001,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "weight_decay": 0.0,
        "schedule_every": "epoch",
        "batch_size": 32,
        "epochs": 100,
        "shuffle": True,
        "early_stopping": False,
        "validation_fraction": 0.1,
        "patience": 10,
        "warm_start": False,
        "verbose": False,
    },
    "FNNRegressor": {
        "hidden_dims": (100,),
        "activation": "relu",
        "dropout": 0.0,
        "l1": 0.0,
        "l2": 0.0,
        "standardize": False,
        "loss": "mse",
        "optimizer": "adam",
        "lr": 0.001,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "weight_decay": 0.0,
        "schedule_every": "epoch",
        "batch_size": 32,
        "epochs": 100,
        "shuffle": True,
        "early_stopping": False,
        "validation_fraction": 0.1,
        "patience": 10,
        "warm_start": False,
        "verbose": False,
    },
    "Model.fit": {
        "epochs": 10,
        "batch_size": 32,
        "accumulate": 1,
        "validation_split": 0.0,
        "stratify": False,
        "shuffle": True,
        "drop_last": False,
        "compile": "auto",
        "on_interrupt": "raise",
    },
    "Model.lr_find": {"start": 1e-07, "stop": 10.0, "steps": 100, "batch_size": 32},
    "Model.predict": {"batch_size": 1024},
    "Model.evaluate": {"batch_size": 1024},
}
# PyTorch's defaults where ours differ on purpose.
OTHERS = {("clip_grad_norm_", "error_if_nonfinite"): False, ("ReduceLROnPlateau", "mode"): "min"}


def found(name):
    if name.startswith("FNN"):
        pytest.importorskip("sklearn")
    owner = nn
    for part in name.split("."):
        owner = getattr(owner, part)
    return owner


def defaults(function):
    """Return by name the defaults that are numbers, strings or tuples."""
    parameters = inspect.signature(function).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if isinstance(p.default, bool | int | float | str | tuple) and p.default != ()
    }


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name):
    given = defaults(found(name))
    alike = {argument: given.pop(argument) for argument in ALIKE if argument in given}
    assert given == DEFAULTS[name]
    assert alike.items() <= ALIKE.items()


def test_the_table_is_whole():
    public = {name for name, value in vars(nn).items() if not name.startswith("_") and callable(value)}
    silent = {"Fit", "Optimizer", "Parameter"}  # initial values of a fit; arguments that users do not pass
    assert {name for name in public - silent if defaults(getattr(nn, name)).keys() - ALIKE.keys()} <= DEFAULTS.keys()


@pytest.mark.peer
def test_defaults_are_those_of_the_peer():
    torch = pytest.importorskip("torch")
    compared = 0
    for name, ours in DEFAULTS.items():
        for place in (torch.optim, torch.optim.lr_scheduler, torch.nn, torch.nn.utils):
            theirs = defaults(getattr(place, name)) if hasattr(place, name) else {}
            for argument in ours.keys() & theirs.keys():
                assert theirs[argument] == OTHERS.get((name, argument), ours[argument]), (name, argument)
                compared += 1
    assert compared > 80
