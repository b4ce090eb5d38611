"""Live models of PyTorch that compute something else than the model here."""

import numpy as np
import pytest

import nn

pytestmark = pytest.mark.peer


def layer(name, *args, **kwargs):
    """Makes the layer of a library; both use the same name for it."""
    return lambda library: getattr(library, name)(*args, **kwargs)


# Layers of PyTorch and here that have the same arrays and compute different things, and the message.
OTHERS = {
    "stride": (layer("Conv2d", 4, 4, 3, stride=2), layer("Conv2d", 4, 4, 3), r"0.stride: is (2, 2), expected (1, 1)"),
    "padding": (layer("Conv1d", 4, 4, 3, padding=1), layer("Conv1d", 4, 4, 3), "0.padding: is (1,), expected (0,)"),
    "same": (
        layer("Conv2d", 4, 4, 3, padding="same"),
        layer("Conv2d", 4, 4, 3, stride=2),
        "0.padding: is 'same', expected (0, 0)",
    ),
    "padding mode": (
        layer("Conv2d", 4, 4, 3, padding=1, padding_mode="reflect"),
        layer("Conv2d", 4, 4, 3, padding=1),
        "0.padding_mode: is 'reflect', expected 'zeros'",
    ),
    "dilation": (
        layer("Conv2d", 4, 4, 3, padding=2, dilation=2),
        layer("Conv2d", 4, 4, 3, padding=2),
        "0.dilation: is (2, 2), expected (1, 1)",
    ),
    "groups": (layer("Conv1d", 4, 4, 3, groups=2), layer("Conv1d", 2, 4, 3), "0.groups: is 2, expected 1"),
    "stride of a transposed one": (
        layer("ConvTranspose2d", 4, 4, 3, stride=2),
        layer("ConvTranspose2d", 4, 4, 3),
        "0.stride: is (2, 2), expected (1, 1)",
    ),
    "padding of a transposed one": (
        layer("ConvTranspose1d", 4, 4, 3, padding=1),
        layer("ConvTranspose1d", 4, 4, 3),
        "0.padding: is (1,), expected (0,)",
    ),
    "output size": (
        layer("AdaptiveAvgPool2d", 2),
        layer("AdaptiveAvgPool2d", (2, 3)),
        "0.output_size: is (2, 2), expected (2, 3)",
    ),
    "kind of dropout": (layer("Dropout2d"), layer("Dropout1d"), "0: class Dropout2d, expected Dropout1d"),
    "place of the norms": (
        layer("TransformerEncoderLayer", 4, 2, 3, norm_first=True),
        layer("TransformerEncoderLayer", 4, 2, 3),
        "0.norm_first: is True, expected False",
    ),
    "activation in an encoder": (
        layer("TransformerEncoderLayer", 4, 2, 3, activation="gelu"),
        layer("TransformerEncoderLayer", 4, 2, 3),
        "0.activation: is gelu, expected ReLU",
    ),
    "groups of a norm": (layer("GroupNorm", 4, 4), layer("GroupNorm", 2, 4), "0.num_groups: is 4, expected 2"),
    "shape of a norm": (
        layer("LayerNorm", 4, elementwise_affine=False),
        layer("LayerNorm", 3, affine=False),
        "0.normalized_shape: is (4,), expected (3,)",
    ),
    "heads": (layer("MultiheadAttention", 8, 4), layer("MultiheadAttention", 8, 2), "0.num_heads: is 4, expected 2"),
    "one key more": (
        layer("MultiheadAttention", 8, 2, add_zero_attn=True),
        layer("MultiheadAttention", 8, 2),
        "0.add_zero_attn: is True, expected False",
    ),
    "row of padding": (
        layer("Embedding", 5, 2, padding_idx=0),
        layer("Embedding", 5, 2),
        "0.padding_idx: is 0, expected None",
    ),
    "norm of rows": (
        layer("Embedding", 5, 2, max_norm=1.0),
        layer("Embedding", 5, 2),
        "0.max_norm: is 1.0, expected None",
    ),
    "window": (layer("MaxPool2d", 3, 2), layer("MaxPool2d", 2), "0.kernel_size: is (3, 3), expected (2, 2)"),
    "stride of a window": (layer("AvgPool1d", 3, 2), layer("AvgPool1d", 3), "0.stride: is (2,), expected (3,)"),
    "padding of a window": (layer("MaxPool1d", 3, 2, 1), layer("MaxPool1d", 3, 2), "0.padding: is (1,), expected (0,)"),
    "last window": (
        layer("AvgPool2d", 2, ceil_mode=True),
        layer("AvgPool2d", 2),
        "0.ceil_mode: is True, expected False",
    ),
    "zeros count": (
        layer("AvgPool2d", 2, 1, 1, count_include_pad=False),
        layer("AvgPool2d", 2, 1, 1),
        "0.count_include_pad: is False, expected True",
    ),
    "divisor": (
        layer("AvgPool2d", 2, divisor_override=3),
        layer("AvgPool2d", 2),
        "0.divisor_override: is 3, expected None",
    ),
    "kind of a window": (layer("AvgPool2d", 2), layer("MaxPool2d", 2), "0: class AvgPool2d, expected MaxPool2d"),
    "kind of any layer": (layer("Identity"), layer("Flatten"), "0: class Identity, expected Flatten"),
    "an activation more": (layer("ReLU"), layer("Sequential"), "0: class ReLU, but there is nothing at that path here"),
}


@pytest.mark.parametrize(("theirs", "ours", "said"), OTHERS.values(), ids=OTHERS)
def test_a_live_model_that_computes_something_else_does_not_fit(theirs, ours, said):
    torch = pytest.importorskip("torch")
    model = nn.Sequential(ours(nn), nn.LeakyReLU())
    before = model.state_dict()
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        nn.from_torch(model, torch.nn.Sequential(theirs(torch.nn), torch.nn.LeakyReLU(0.5)))
    assert f"\n  {said}" in str(caught.value)
    assert all(line.startswith("  0") for line in str(caught.value).splitlines()[1:])
    assert model[1].negative_slope == 0.01
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_layer_more_at_the_end_is_listed_and_what_does_nothing_is_not():
    torch = pytest.importorskip("torch")
    body = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Identity(), torch.nn.Sequential())
    theirs = torch.nn.ModuleDict({"net": body, "loss": torch.nn.MSELoss()})
    ours = nn.Sequential(nn.Linear(3, 2))
    nn.from_torch(ours, theirs)
    body.append(torch.nn.ReLU())
    with pytest.raises(ValueError, match=r"\n  net\.3: class ReLU, but there is nothing at that path here"):
        nn.from_torch(ours, theirs)
    nn.from_torch(ours, theirs.state_dict())


def test_lists_and_dicts_of_modules_fit():
    torch = pytest.importorskip("torch")

    def made(library):
        blocks = library.ModuleList([library.Linear(2, 2), library.ReLU()])
        return library.ModuleDict({"blocks": blocks, "head": library.Linear(2, 1), "none": library.Identity()})

    ours, theirs = made(nn), made(torch.nn)
    nn.from_torch(ours, theirs)
    assert list(nn.to_torch(ours)) == list(theirs.state_dict())
    np.testing.assert_array_equal(ours["blocks"][0].W.data, theirs["blocks"][0].weight.detach().numpy().T)
    ours["blocks"] = nn.ModuleList([nn.Linear(2, 2)])
    with pytest.raises(ValueError, match=r"blocks\.1: class ReLU, but there is nothing at that path here"):
        nn.from_torch(ours, theirs)


def test_settings_that_are_written_in_another_way_fit():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(4, 4, 3, padding="same"),
        torch.nn.Conv2d(4, 4, 1, padding="valid"),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(1, 2),
    )
    ours = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.MaxPool2d((2, 2)), nn.Flatten())
    assert nn.from_torch(ours, theirs)[3].end_axis == 2
