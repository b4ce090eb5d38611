"""Models to and from PyTorch. The tests marked `peer` do it with live ones."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

RTOL = 1e-12


def close(got, want):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=RTOL, atol=RTOL * max(1.0, np.abs(want).max(initial=0.0)))


def mlp(**kwargs):
    return nn.MLP([3, 4, 2], dtype=np.float64, rng=0, **kwargs)


# --- without PyTorch ------------------------------------------------------------------------------------


def test_a_weight_is_transposed_and_the_wrapper_left_out():
    model = mlp()
    state = nn.to_torch(model)
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    np.testing.assert_array_equal(state["0.weight"], model.layers[0].W.data.T)
    assert state["0.weight"].flags.c_contiguous
    state["0.bias"][:] = 7  # a copy
    assert not model.layers[0].b.data.any()


def test_nested_wrappers_and_modules_of_ones_own_keep_their_paths():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(np.ones(2))
            self.body = nn.Sequential(mlp(), nn.BatchNorm(2))

    assert list(nn.to_torch(Net())) == [
        "scale",
        "body.0.0.weight",
        "body.0.0.bias",
        "body.0.2.weight",
        "body.0.2.bias",
        "body.1.weight",
        "body.1.bias",
        "body.1.running_mean",
        "body.1.running_var",
        "body.1.num_batches_tracked",
    ]


@pytest.mark.parametrize("prefix", ["", "net.", "a.b.layers."])
def test_a_prefix_that_all_names_share_is_left_out(prefix):
    source, model = mlp(), mlp().requires_grad_(False)
    for parameter in model.parameters():
        parameter.data[...] = 0
    state = {prefix + name: array for name, array in nn.to_torch(source).items()}
    assert nn.from_torch(model, state) is model
    for name, array in source.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array)


def test_a_single_layer_fits_one_in_a_sequential():
    layer = nn.Linear(2, 3, dtype=np.float64, rng=0)
    model = nn.from_torch(nn.Sequential(nn.Tanh(), nn.Linear(2, 3, dtype=np.float64)), nn.to_torch(layer))
    np.testing.assert_array_equal(model[1].W.data, layer.W.data)


def test_all_that_does_not_fit_is_listed_and_nothing_changed():
    model = nn.Sequential(nn.Linear(3, 4, dtype=np.float64, rng=0), nn.BatchNorm(4, dtype=np.float64))
    before = model.state_dict()
    state = {
        "0.weight": np.ones((3, 4)),
        "0.bias": np.ones(4),
        "1.weight": np.ones(4, np.float32),
        "1.running_mean": np.ones(4),
        "1.running_var": np.ones(4),
        "2.weight": np.ones(1),
    }
    with pytest.raises(ValueError, match="4 of PyTorch's names do not fit Sequential, nothing was loaded") as caught:
        nn.from_torch(model, state)
    assert str(caught.value).splitlines()[1:] == [
        "  0.weight: shape (3, 4), expected (4, 3)",
        "  1.weight: dtype float32, expected float64 (cast the model with .to() first)",
        "  missing: 1.bias of shape (4,)",
        "  unexpected: 2.weight",
    ]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_num_batches_tracked_may_be_missing():
    model = nn.BatchNorm(2, dtype=np.float64)
    state = {name: np.full(2, 3.0) for name in ("weight", "bias", "running_mean", "running_var")}
    assert nn.from_torch(model, state).running_var.data.tolist() == [3.0, 3.0]


def test_what_is_shared_stands_at_each_place_and_must_agree():
    layer = nn.Linear(2, 2, dtype=np.float64, rng=0)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    state = nn.to_torch(model)
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    nn.from_torch(model, state)
    state["2.bias"] = np.ones(2)
    with pytest.raises(ValueError, match=r"2\.bias: differs from 0\.bias, and both are one shared tensor here"):
        nn.from_torch(model, state)


def test_two_members_of_one_name_are_refused():
    class Net(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.weight = nn.Parameter(np.ones(2))

    with pytest.raises(ValueError, match="two members of Net would be 'weight' in PyTorch"):
        nn.to_torch(Net())


def test_what_is_no_state_dict_is_refused():
    with pytest.raises(TypeError, match=r"got str; for a file write torch\.load"):
        nn.from_torch(mlp(), "weights.pt")


def test_a_graph_from_before_notices_the_new_weights():
    model = mlp()
    loss = model(np.ones((2, 3))).sum()
    nn.from_torch(model, nn.to_torch(mlp()))
    with pytest.raises(tg.InplaceError, match="from_torch"):
        loss.backward()


# --- with PyTorch ---------------------------------------------------------------------------------------


def _plain(*layers):
    return lambda lib: lib.Sequential(*(make(lib) for make in layers))


def linear(n_in, n_out, bias=True):
    return lambda lib: lib.Linear(n_in, n_out, bias=bias)


def batch_norm(n, dims=1, **kwargs):
    def make(lib):
        if lib is not nn:
            return getattr(lib, f"BatchNorm{dims}d")(n, **kwargs)
        momentum = {"momentum": 1 - kwargs["momentum"]} if "momentum" in kwargs else {}
        return nn.BatchNorm(n, **{**kwargs, **momentum})

    return make


def named(name, *args, **kwargs):
    return lambda lib: getattr(lib, name)(*args, **kwargs)


def live(model, torch):
    """A live model in float64 with random weights and statistics."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.double().state_dict().items():
        if tensor.dtype.is_floating_point:
            low, high = (0.5, 2.0) if name.endswith("running_var") else (-0.6, 0.6)
            tensor.copy_(torch.empty_like(tensor).uniform_(low, high, generator=generator))
    return model
