"""nn.save and nn.load: numbers, names, and other programs."""

import os

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tests.nn.saved import require_equal

# --- numbers (L7) -------------------------------------------------------------------------------------------

_NAN = np.array([0x7FF80000DEADBEEF, 0xFFF0000000000001, 0x8000000000000000, 1], np.uint64).view(np.float64)
ARRAYS = {
    "F order": np.arange(6.0).reshape(2, 3).copy(order="F"),
    "strided": np.arange(24.0).reshape(4, 6)[1::2, ::3],
    "reversed": np.arange(6.0).reshape(2, 3)[::-1, ::-1],
    "transposed": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(1, 2, 0),
    "repeated": np.broadcast_to(np.float32(2), (3, 2)),
    "big-endian": np.array([1.5, -2.5], ">f4"),
    "big-endian integers": np.array([[1, 2], [3, 400]], ">i8"),
    "signalling NaN, big-endian": _NAN.byteswap().view(">f8"),
    "NaN, -0.0, denormal": _NAN,
    "0-d": np.array(3.5),
    "empty": np.zeros((0, 3), np.float32),
    "empty and long": np.zeros((5, 0, 2)),
    "read-only": np.frombuffer(b"abcd", np.uint8),
    "bool": np.array([True, False]),
    **{f"{kind}{size}": np.array([[0, 1, 100], [3, 4, 5]], f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)},
    **{f"f{size}": np.array([[0.1, -0.0, np.inf]], f"f{size}") for size in (2, 4, 8)},
}


@pytest.mark.promise("L7")
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_numbers_come_back_bit_by_bit(path, array):
    native = array.astype(array.dtype.newbyteorder("=")) if array.dtype.byteorder == ">" else array
    swapped = array.dtype.byteorder == ">"
    expected = (array.byteswap().view(array.dtype.newbyteorder("=")) if swapped else native).tobytes()
    model = nn.Module()
    model.register_buffer("x", tg.from_numpy(array))
    model.list = [array]
    given = nn.Module()
    given.register_buffer("x", np.ones(array.shape, native.dtype))
    nn.save(path, model)
    rebuilt = nn.load(path).model
    for found in (rebuilt.x.data, rebuilt.list[0], nn.load(path, given).model.x.data):
        assert found.shape == array.shape
        assert found.dtype == native.dtype
        assert found.dtype.isnative
        assert found.tobytes() == expected


@pytest.mark.promise("L7")
def test_the_layout_in_memory_comes_back(path):
    model = nn.Module()
    model.W = nn.Parameter(np.arange(6.0).reshape(2, 3).copy(order="F"))
    model.K = nn.Parameter(np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0))
    nn.save(path, model)
    loaded = nn.load(path).model
    assert loaded.W.data.strides == model.W.data.strides == (8, 16)
    assert loaded.K.data.strides == model.K.data.strides == (32, 8, 96)


@pytest.mark.promise("L7")
@pytest.mark.parametrize("name", ["c8", "c16", ">c8"])
def test_complex_numbers_are_for_npz(tmp_path, name):
    model = nn.Module()
    model.register_buffer("x", tg.from_numpy(np.array([1 + 2j, complex(-0.0, np.nan)], name)))
    nn.save(tmp_path / "m.npz", model)
    native = np.dtype(name).newbyteorder("=")
    assert nn.load(tmp_path / "m.npz").model.x.data.tobytes() == model.x.data.astype(native).tobytes()
    pytest.importorskip("safetensors")
    with pytest.raises(tg.DTypeError, match=r"'x' has dtype complex.*save as \.npz"):
        nn.save(tmp_path / "m.safetensors", model)
    assert os.listdir(tmp_path) == ["m.npz"]


# --- names (L8) ---------------------------------------------------------------------------------------------

NAMES = [
    "a/b",
    "../../up",
    "/etc/passwd",
    "C:\\x",
    "nul\0",
    "naïve ☃",
    "header.json",
    "header",
    "#3",
    "",
    ".",
    "a" * 500,
]
NAMES += ["__class__", "optimizer.0.m", "extra.x", "con", "A", "a", "\n", '"}', "object", "unsaved"]


@pytest.mark.promise("L8")
def test_names_are_data(path):
    before = set(path.parent.rglob("*"))
    model = nn.Module()
    model.parts = {name: nn.Parameter(np.full(2, float(i))) for i, name in enumerate(NAMES)}
    nn.save(path, model, nn.SGD(model.parameters()), {"x": np.ones(1)})
    assert set(path.parent.rglob("*")) - before == {path}
    other = nn.Module()
    other.parts = {name: nn.Parameter(np.zeros(2)) for name in NAMES}
    for loaded in (nn.load(path), nn.load(path, other)):
        assert list(loaded.model.parts) == NAMES
        assert [p.data.tolist() for p in loaded.model.parts.values()] == [[i, i] for i in range(len(NAMES))]


@pytest.mark.promise("L8")
@pytest.mark.parametrize("name", ["__metadata__", "\ud800"])
def test_names_that_safetensors_cannot_have(tmp_path, name):
    pytest.importorskip("safetensors")
    model = nn.Module()
    setattr(model, name, nn.Parameter([1.0]))
    with pytest.raises(ValueError, match=r"cannot have a tensor named .*rename it, or save as \.npz"):
        nn.save(tmp_path / "m.safetensors", model)
    nn.save(tmp_path / "m.npz", model)
    assert list(nn.load(tmp_path / "m.npz").model.state_dict()) == [name]


def test_two_members_of_one_path(path):
    model = nn.Module()
    model.a = {"b": nn.Dropout(0.5)}
    setattr(model, "a.b.rng", nn.Parameter([1.0]))
    with pytest.raises(ValueError, match=r"two members of Module have the path 'a\.b\.rng'"):
        nn.save(path, model)


# --- other programs -----------------------------------------------------------------------------------------


def test_numpy_opens_the_npz(tmp_path):
    model = nn.MLP([4, 6, 3], rng=0)
    nn.save(tmp_path / "m.npz", model)
    with np.load(tmp_path / "m.npz") as file:
        assert file.zip.testzip() is None
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(file[name], array)
        assert file["header.json"].startswith(b'{"format":"tensorgrad.nn"')


def test_the_package_opens_the_safetensors(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    model = nn.MLP([4, 6, 3], rng=0)
    model.layers[0].W.data = model.layers[0].W.data.copy(order="F")
    nn.save(tmp_path / "m.safetensors", model)
    arrays = package.load_file(tmp_path / "m.safetensors")
    assert {name: array.tolist() for name, array in arrays.items()} == {
        name: array.tolist() for name, array in model.state_dict().items()
    }


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "np", "author": "me"}])
def test_files_of_the_package_are_loaded(tmp_path, metadata):
    package = pytest.importorskip("safetensors.numpy")
    file = tmp_path / "m.safetensors"
    model, other = nn.MLP([4, 6, 3], norm="batch", rng=0), nn.MLP([4, 6, 3], norm="batch", rng=1)
    package.save_file(model.state_dict(), file, metadata)
    loaded = nn.load(file, other)
    assert loaded == (other, None, None)
    require_equal([model], [other])
    with pytest.raises(tg.CheckpointError, match=r"tensors and nothing else; write nn\.load\(path, model="):
        nn.load(file)
    package.save_file({"layers.0.W": np.zeros((4, 5), np.float32), "x": np.zeros(1)}, file, metadata)
    with pytest.raises(tg.CheckpointError, match=r"missing: layers\.3\.b") as error:
        nn.load(file, other)
    assert "unexpected: x" in str(error.value)
    assert "layers.0.W: shape (4, 5), expected (4, 6)" in str(error.value)
    require_equal([model], [other])
