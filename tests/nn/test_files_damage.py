"""nn.load of files that are damaged, or made to do harm."""

import hashlib
import io
import json
import pickle
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._files import npz, registry, safetensor
from nn._files.header import sealed

FORMATS = ["npz", "safetensors"]


def small_model():
    model = nn.Sequential(nn.Linear(3, 2, rng=0), nn.BatchNorm(2), nn.Dropout(0.5, rng=1))
    model(np.arange(12, dtype=np.float32).reshape(4, 3))
    return model


def saved(path, **more):
    model = small_model()
    optimizer = nn.SGD(model.parameters(), lr=0.1, momentum=0.5)
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.grad = rng.normal(size=parameter.shape)
    optimizer.step()
    nn.save(path, model, optimizer, {"epoch": 3, **more})
    return model


def refusal(path, pattern="nn.load", limit=1_000_000):
    """The error of loading, which must not take more memory than this on top of the file's size."""
    tracemalloc.start()
    try:
        with pytest.raises(tg.CheckpointError, match=pattern) as error:
            nn.load(path)
        assert tracemalloc.get_traced_memory()[1] < limit + path.stat().st_size
    finally:
        tracemalloc.stop()
    assert path.name in str(error.value)
    return str(error.value)


# --- files that would run code (L1) --------------------------------------------------------------------------


class Evil:
    def __init__(self, sentinel):
        self.sentinel = str(sentinel)

    def __reduce__(self):
        return open, (self.sentinel, "w")


def object_npz(evil):
    file = io.BytesIO()
    np.savez(file, W=np.array([evil], object))
    return file.getvalue()


def object_npz_like_ours(evil):
    file = io.BytesIO()
    array = io.BytesIO()
    np.lib.format.write_array(array, np.array([evil], object), allow_pickle=True)
    text = json.dumps(
        {"format": "tensorgrad.nn", "version": 1, "tensors": {"W": {"dtype": "|O", "shape": [1]}}}
    ).encode()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header.json", text)
        archive.writestr("header.sha256", f"{hashlib.sha256(text).hexdigest()}  header.json\n")
        archive.writestr("W.npy", array.getvalue())
    return file.getvalue()


def object_npy(evil):
    file = io.BytesIO()
    np.save(file, np.array([evil], object), allow_pickle=True)
    return file.getvalue()


def torch_zip(evil):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"W": evil}, 2))
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def joblib_dump(evil):
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump({"W": evil}, file)
    return file.getvalue()


@pytest.mark.promise("L1")
@pytest.mark.parametrize(
    "make",
    [pickle.dumps, object_npz, object_npz_like_ours, object_npy, torch_zip, joblib_dump],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("suffix", FORMATS)
def test_no_code_of_a_file_is_run(tmp_path, make, suffix):
    sentinel = tmp_path / "sentinel"
    content = make(Evil(sentinel))
    assert not sentinel.exists()
    pickle.loads(pickle.dumps(Evil(sentinel))).close()
    assert sentinel.exists()  # it appears when the code is run
    sentinel.unlink()
    path = tmp_path / f"evil.{suffix}"
    path.write_bytes(content)
    refusal(path)
    model = small_model()
    with pytest.raises(tg.CheckpointError):
        nn.load(path, model)
    assert not sentinel.exists()


# --- malformed files (L2, L3) --------------------------------------------------------------------------------


def rezipped(content, compression=zipfile.ZIP_STORED, twice=None):
    """The same members, as another program would write them."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(file, "w", compression) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
        if twice:
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr(twice, source.read(twice))
    return file.getvalue()


def offset_changed(content):
    """A directory whose last entry points to the member before: two members overlap."""
    last = content.rindex(b"PK\1\2")
    before = content.rindex(b"PK\1\2", 0, last)
    return content[: last + 42] + content[before + 42 : before + 46] + content[last + 46 :]


def with_hole(content):
    """Bytes between the last member and the directory, whose offset is corrected."""
    start = struct.unpack("<L", content[-6:-2])[0]
    return content[:start] + b"\0" * 64 + content[start:-6] + struct.pack("<L", start + 64) + content[-2:]


def crc_changed(content):
    found = content.index(b"0.b.npy") - 30
    return content[: found + 14] + bytes([content[found + 14] ^ 1]) + content[found + 15 :]


def claimed_size(content):
    return content[:22] + struct.pack("<L", 9_999_999) + content[26:]


NPZ = {
    "empty": (lambda c: b"", "the first bytes are wrong"),
    "one byte": (lambda c: c[:1], "the first bytes are wrong"),
    "cut in the header": (lambda c: c[:200], "truncated"),
    "cut in a tensor": (lambda c: c[: c.index(b"0.b.npy") + 150], "truncated"),
    "cut at the end": (lambda c: c[:-1], "truncated"),
    "more at the end": (lambda c: c + b"\0", "appended to"),
    "more at the beginning": (lambda c: b"\0" * 64 + c, "the first bytes are wrong"),
    "another file's end": (lambda c: c + c, "appended to"),
    "an archive comment": (lambda c: c[:-2] + b"\4\0abcd", "appended to"),
    "compressed": (lambda c: rezipped(c, zipfile.ZIP_DEFLATED), "header"),
    "written by another program": (rezipped, "differs from what nn.save writes"),
    "a member twice": (lambda c: rezipped(c, twice="0.b.npy"), "differs from what nn.save writes"),
    "overlap": (offset_changed, "the ZIP directory at the end differs from what nn.save writes"),
    "hole": (with_hole, "appended to"),
    "wrong CRC": (crc_changed, "tensor '0.b': the part before its numbers differs from"),
    "huge header": (lambda c: c[:22] + struct.pack("<L", 2**32 - 2) + c[26:], "claims a header of 4,294,967,294 bytes"),
    "header longer than the file": (claimed_size, "truncated"),
    "dtype of the .npy": (lambda c: c.replace(b"'<f4'", b"'<i4'", 1), "tensor '0.W': the part before its numbers"),
    "shape of the .npy": (lambda c: c.replace(b"(3, 2)", b"(2, 3)", 1), "tensor '0.W': the part before its numbers"),
    "order of the .npy": (lambda c: c.replace(b"False", b"True ", 1), "tensor '0.W': the part before its numbers"),
    "header changed": (lambda c: c.replace(b'"epoch"', b'"epocH"', 1), "checksum .* of the header"),
}


@pytest.mark.promise("L2", "L3")
@pytest.mark.parametrize(("change", "reason"), NPZ.values(), ids=NPZ)
def test_malformed_npz(tmp_path, change, reason):
    path = tmp_path / "m.npz"
    saved(path)
    content = path.read_bytes()
    changed = change(content)
    assert changed != content
    path.write_bytes(changed)
    message = refusal(path, reason)
    if "the part before its numbers" in reason or "the ZIP directory" in reason:
        place = next(i for i, (old, new) in enumerate(zip(content, changed, strict=True)) if old != new)
        assert f"from byte {place} on" in message


@pytest.mark.promise("L3")
def test_a_small_file_of_200_megabytes(tmp_path):
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("header.json", "w") as member:
        for _ in range(200):
            member.write(bytes(1_000_000))
    assert path.stat().st_size < 200_000
    refusal(path, "claims a header of 200,000,000 bytes")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", bytes(50_000_000))
    refusal(path, "header")


def raw(outer, data=b""):
    """A .safetensors file."""
    text = outer if isinstance(outer, bytes) else json.dumps(outer).encode()
    return struct.pack("<Q", len(text)) + text + data


def one(**changes):
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


A, B = one()["a"], one(data_offsets=[8, 16])["a"]
SAFETENSORS = {
    "empty": (b"", "truncated"),
    "seven bytes": (b"\1" * 7, "truncated"),
    "no header": (struct.pack("<Q", 0), "not valid JSON"),
    "header longer than the file": (struct.pack("<Q", 50) + b"{}", "truncated"),
    "huge header": (struct.pack("<Q", 2**63) + b"{}", "claims a header of 9,223,372,036,854,775,808 bytes"),
    "bad JSON": (raw(b'{"a":'), "not valid JSON"),
    "bad UTF-8": (raw(b'{"\xff": 1}'), "not valid JSON"),
    "NaN": (raw(b'{"a": NaN}'), "NaN is not valid JSON"),
    "no object": (raw([1]), "is a list, expected an object"),
    "deep": (raw(b'{"a":' * 100_000), "not valid JSON"),
    "a number of many digits": (raw(b'{"a":' + b"1" * 10_000 + b"}"), "not valid JSON"),
    "a key twice": (raw(b'{"a": 1, "a": 1}'), "key 'a' twice"),
    "truncated": (raw({"a": A}, bytes(7)), "truncated"),
    "trailing": (raw({"a": A}, bytes(9)), "appended to"),
    "overlap": (raw({"a": A, "b": one(data_offsets=[4, 12])["a"]}, bytes(12)), "tensor 'b': .*overlap"),
    "the same bytes": (raw({"a": A, "b": A}, bytes(8)), "tensor 'b': .*overlap"),
    "hole": (raw({"a": A, "b": one(data_offsets=[12, 20])["a"]}, bytes(20)), "tensor 'b': .*hole"),
    "hole at the beginning": (raw({"b": B}, bytes(16)), "tensor 'b': .*hole"),
    "negative offset": (raw(one(data_offsets=[-8, 0]), b""), "tensor 'a': .*hole"),
    "turned offsets": (raw(one(data_offsets=[8, 0]), bytes(8)), "tensor 'a': .*do not match its"),
    "three offsets": (raw(one(data_offsets=[0, 8, 9]), bytes(8)), "tensor 'a': .*not two integers"),
    "offsets of another kind": (raw(one(data_offsets=[False, 8.0]), bytes(8)), "tensor 'a': .*not two integers"),
    "size and shape": (raw(one(shape=[3]), bytes(8)), "tensor 'a': .*do not match its"),
    "negative shape": (raw(one(shape=[-1, -2]), bytes(8)), "tensor 'a': shape"),
    "overflowing shape": (raw(one(shape=[2**62, 4, 2]), bytes(8)), "tensor 'a': .*do not match its"),
    "empty and overflowing": (raw(one(shape=[0, 2**62, 8], data_offsets=[0, 0])), "tensor 'a': NumPy cannot make an"),
    "8 TB": (raw(one(shape=[2**41], data_offsets=[0, 2**43]), bytes(8)), "truncated"),
    "shape of another kind": (raw(one(shape=[2.0]), bytes(8)), "tensor 'a': shape"),
    "65 axes": (raw(one(shape=[1] * 64 + [2]), bytes(8)), "tensor 'a': shape"),
    "unknown dtype": (raw(one(dtype="BF16", shape=[4]), bytes(8)), "tensor 'a': unknown dtype 'BF16'"),
    "dtype of another kind": (raw(one(dtype=["F32"]), bytes(8)), "tensor 'a': unknown dtype"),
    "no dtype": (raw({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)), "tensor 'a': .*does not consist of"),
    "one thing more": (raw(one(strides=[1]), bytes(8)), "tensor 'a': .*does not consist of"),
    "metadata of another kind": (raw({"__metadata__": {"a": 1}}), "__metadata__ holds values that are not strings"),
    "other metadata": (raw({"__metadata__": {"tensorgrad.nn": "{}"}}), "as nn.save writes them"),
    "a bool of 2": (raw(one(dtype="BOOL", data_offsets=[0, 2]), b"\1\2"), "tensor 'a': a bool is neither"),
}


@pytest.mark.promise("L2", "L3")
@pytest.mark.parametrize(("content", "reason"), SAFETENSORS.values(), ids=SAFETENSORS)
def test_malformed_safetensors(tmp_path, content, reason):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    refusal(path, reason, 5_000_000)
    model = nn.Module()
    model.a = nn.Parameter(np.ones(2, np.float32))
    with pytest.raises(tg.CheckpointError, match=reason):
        nn.load(path, model)
    assert model.a.data.tolist() == [1, 1]


def test_this_safetensors_file_is_good(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw({"a": A, "__metadata__": {}}, struct.pack("<2f", 3.0, 4.0)))
    model = nn.Module()
    model.a = nn.Parameter(np.ones(2, np.float32))
    assert nn.load(path, model).model.a.data.tolist() == [3, 4]


@pytest.mark.promise("L3")
def test_no_more_of_a_header_is_read_than_16_mebibytes(path):
    """The objects of the shortest lists in JSON take 25 times their size."""
    if path.suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", bytes(2**24 + 1))
    else:
        path.write_bytes(raw(b" " * (2**24 + 1)))
    refusal(path, "claims a header of 16,777,217 bytes, expected at most 16,777,216")


@pytest.mark.parametrize("text", ["x" * 2**24, '"' * 2**22], ids=["long", "longer when it is quoted"])
def test_no_header_is_written_that_is_not_read(path, text):
    if text[0] == '"' and path.suffix == ".npz":
        nn.save(path, small_model(), extra={"text": text})
        assert nn.load(path).extra == {"text": text}
        return
    with pytest.raises(ValueError, match=r"attributes and extra come to [0-9,]+ bytes, expected at most 16,777,216"):
        nn.save(path, small_model(), extra={"text": text})
    assert not path.exists()


@pytest.mark.promise("L3")
def test_a_model_of_10000_tensors_with_its_optimizer_has_such_a_header(path):
    model = nn.Module()
    model.list = [nn.Parameter(np.float32(i)) for i in range(10_000)]
    optimizer = nn.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = np.float32(1)
    optimizer.step()
    nn.save(path, model, optimizer)
    assert len(nn.load(path).optimizer.param_groups[0]["params"]) == 10_000


# Changes to a header of nn.save, whose checksum is then corrected.
HEADERS = {
    "bad JSON": (b"}", b"", "not valid JSON"),
    "NaN": (b'"version":1', b'"version":NaN', "NaN is not valid JSON"),
    "a key twice": (b'"version":1', b'"version":1,"version":1', "key 'version' twice"),
    "an array": (rb"^.*$", b"[]", "the header was not written by nn.save"),
    "another format": (b'"tensorgrad.nn"', b'"pickle"', "the header was not written by nn.save"),
    "a later version": (b'"version":1', b'"version":2', "has version 2, but this tensorgrad reads version 1"),
    "no state": (b'"state":', b'"estate":', r"lacks \['state'\]"),
    "tensors": (b'"tensors":{', b'"tensors":[],"others":{', "tensors are not a JSON object"),
    "unknown dtype": (b'"<f4"', b'"<f3"', "tensor '0.W': unknown dtype '<f3'"),
    "object dtype": (b'"<f4"', b'"|O"', "tensor '0.W': unknown dtype"),
    "another dtype": (b'"<f4"', b'"<i4"', "tensor '0.W': "),
    "another shape": (rb"\[3,2\]", b"[2,3]", "tensor '0.W': "),
    "negative shape": (rb"\[3,2\]", b"[-3,-2]", "tensor '0.W': shape"),
    "a length of -1": (rb"\[3,2\]", b"[-1,2]", r"tensor '0.W': shape \[-1, 2\] is not a list of .* lengths"),
    "overflowing shape": (
        rb"\[3,2\]",
        b"[3,2,4611686018427387904]",
        "tensor '0.W': claims [0-9,]+ bytes, but the whole file has",
    ),
    "8 TB": (rb"\[3,2\]", b"[1000000,2000000]", "tensor '0.W': claims [0-9,]+ bytes, but the whole file has"),
    "65 axes": (rb"\[3,2\]", b"[3,2" + b",1" * 63 + b"]", "tensor '0.W': shape"),
    "no checksum": (rb'"sha256":"\w+"', b'"sha256":null', "tensor '0.W': checksum None"),
    "another checksum": (rb'"sha256":"\w\w', b'"sha256":"xx', "tensor '0.W': its checksum"),
    "another name": (rb'"0\.W":', b'"0.V":', "tensor '0.V': the part before|the two headers name different tensors"),
    "one thing more": (b'"dtype":', b'"offset":3,"dtype":', "tensor '0.W': .*does not consist of"),
    "layout": (b'"dtype":', b'"layout":[0,0],"dtype":', "tensor '0.W': layout"),
    "layout of another kind": (b'"dtype":', b'"layout":{},"dtype":', "tensor '0.W': layout"),
    "objects": (b'"objects":', b'"objects":3,"others":', "does not describe a model"),
    "objects by name": (b'"objects":', b'"objects":{},"others":', "the table of objects is a dict, expected a list"),
    "an object that is not there": (b'"model":{"object":', b'"model":{"object":999', "does not describe a model"),
    "an object from behind": (b'"model":{"object":', b'"model":{"object":-', "does not describe a model"),
    "no object of this kind": (b'"model":{"object":', b'"model":{"file":', "does not describe a model"),
    "no model": (rb'"model":\{"object":\d+', b'"model":{"object":0', "the model must be a Module, .* got Parameter"),
    "a class that is not public": (b'"class":"Linear"', b'"class":"Places"', "no class 'Places' to rebuild"),
    "a class that is no class": (b'"class":"Linear"', b'"class":"save"', "no class 'save'"),
    "a class of another module": (b'"class":"Linear"', b'"class":"os.system"', r"no class 'os\.system'"),
    "a parameter as an object": (b'"class":"Linear"', b'"class":"Parameter"', "no class 'Parameter'"),
    "an optimizer as an object": (b'"class":"Linear"', b'"class":"SGD"', "no class 'SGD'"),
    "an object as an optimizer": (b'"optimizer":"SGD"', b'"optimizer":"Linear"', "no class 'Linear'"),
    "a class as a list": (b'"class":"Linear"', b'"class":["Linear"]', "does not describe a model"),
    "a module without training": (b'"training"', b'"straining"', "attributes of a module"),
    "a name that is not a string": (b'"training"', b"3", "attribute's name is not a string"),
    "a buffer that is none": (
        rb'"tuple":\["running_mean"',
        b'"tuple":["num_features"',
        "a buffer of BatchNorm is not a tensor",
    ),
    "a tensor that is not there": (b'"parameter":"0.W"', b'"parameter":"x"', "does not describe a model"),
    "another bit generator": (
        b'"generator":"PCG64"',
        b'"generator":"RandomState"',
        "not one of NumPy's bit generators",
    ),
    "another state of a generator": (rb'"has_uint32",\d+', b'"has_uint32",{"tuple":[]}', "does not describe a model"),
    "a large seed": (rb'"pool_size",4', b'"pool_size",1000000000', "pool_size of a seed must be 4"),
    "a negative option": (rb'\["lr",0\.1\]', b'["lr",-0.1]', "lr must be a finite number"),
    "an unknown argument": (
        rb'"arguments":\{"dict":\[',
        b'"arguments":{"dict":[["x",1]]},"more":{"dict":[',
        "does not describe a model",
    ),
    "state of an optimizer": (rb'\["t",1\]', b'["x",1]', "does not describe a model"),
    "a float of another kind": (b'"epoch",3', b'"epoch",{"float":"x"}', "does not describe a model"),
    "a scalar of another size": (b'"epoch",3', b'"epoch",{"scalar":["<f4","00"]}', "does not describe a model"),
    "a scalar of another kind": (
        b'"epoch",3',
        b'"epoch",{"scalar":["|O","0000000000000000"]}',
        "does not describe a model",
    ),
    "a key that is no key": (b'"epoch",3', b"[],3", "does not describe a model"),
    "an unsaved part": (b'"epoch",3', b'"epoch",{"unsaved":"x"}', "from the file alone: x"),
}


def forge(monkeypatch, old, new):
    """Make nn.save write another header."""

    def forged(header, arrays):
        text, _ = sealed(header, arrays)
        changed = re.sub(old, lambda match: new, text, count=1)
        assert changed != text
        return changed, hashlib.sha256(changed).hexdigest()

    for module in (npz, safetensor):
        monkeypatch.setattr(module, "sealed", forged)


@pytest.mark.promise("L2", "L3")
@pytest.mark.parametrize(("old", "new", "reason"), HEADERS.values(), ids=HEADERS)
def test_malformed_headers(path, monkeypatch, old, new, reason):
    forge(monkeypatch, old, new)
    saved(path)
    refusal(path, reason)


class Mine(nn.Module):
    """A user's class, which becomes a name in nn."""

    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter([1.0])

    def forward(self, x):
        return x * self.rate


class Note(nn.History):
    pass


@pytest.mark.promise("L1", "L2")
@pytest.mark.parametrize("name", ["Mine", "Linear"])
def test_a_class_that_a_user_assigns_to_nn_is_not_rebuilt(path, monkeypatch, name):
    """What a file may name was settled when nn was imported."""
    kind = type(name, (Mine,), {})
    monkeypatch.setattr(nn, name, kind, raising=False)
    registry.fill(vars(nn))
    assert getattr(nn, name) is kind
    assert registry.registry().get(name) is not kind
    model = nn.Sequential(kind())
    nn.save(path, model)
    refusal(path, f"alone: 0: the class {name} is not one of nn's")
    assert nn.load(path, model).model is model


@pytest.mark.promise("L1", "L2")
@pytest.mark.parametrize(
    ("kind", "key", "old"), [(Mine, "class", "Linear"), (Note, "class", "History"), (nn.SGD, "optimizer", "Adam")]
)
def test_a_file_that_names_what_a_user_assigned_to_nn(path, monkeypatch, kind, key, old):
    """Nor does it matter who made the file: no such class is instantiated without its constructor."""
    fake = type("Mine", (kind,), {})
    monkeypatch.setattr(nn, "Mine", fake, raising=False)
    forge(monkeypatch, f'"{key}":"{old}"'.encode(), f'"{key}":"Mine"'.encode())
    model = nn.Model(nn.Sequential(nn.Linear(2, 2)), optimizer="adam")
    nn.save(path, model)
    refusal(path, "nn has no class 'Mine' to rebuild")


STATES = {
    "a list": ("MT19937", rb'\["key",\{"object":\d+\}', b'["key",[1]', "key of a generator has type list"),
    "a short buffer": (
        "Philox",
        rb'\["buffer",\{"object":\d+\}',
        b'["buffer",{"object":2}',
        r"buffer of a generator has dtype uint64 and shape \(2,\)",
    ),
    "a large state": (
        "PCG64",
        rb'\["state",\d+\]',
        b'["state",%d]' % 2**128,
        "state of a generator must be an integer",
    ),
    "a float": ("PCG64DXSM", rb'\["inc",\d+\]', b'["inc",0.5]', "inc of a generator must be an integer"),
    "no field": ("PCG64DXSM", rb',\["uinteger",\d+\]', b"", "the state of a generator has the keys"),
    "another one's": ("PCG64", rb'"bit_generator","PCG64"', b'"bit_generator","PCG64DXSM"', "expected 'PCG64'"),
}


@pytest.mark.promise("L2")
@pytest.mark.parametrize(("kind", "old", "new", "reason"), STATES.values(), ids=STATES)
def test_a_generator_of_another_form(tmp_path, monkeypatch, kind, old, new, reason):
    model = nn.Dropout(0.5, rng=np.random.Generator(getattr(np.random, kind)(1)))
    path = tmp_path / "m.npz"
    nn.save(path, model)
    nn.load(path, model)
    forge(monkeypatch, old, new)
    nn.save(path, model)
    for given in ([], [model]):
        with pytest.raises(tg.CheckpointError, match=reason):
            nn.load(path, *given)


@pytest.mark.promise("L1", "L2")
@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        *(("MT19937", "pos", value) for value in ("625", "-1", "100000000", "1.5")),
        *(("Philox", "buffer_pos", value) for value in ("5", "-5", "true")),
        *(("Philox", "has_uint32", value) for value in ("2", "-1")),
        *(("SFC64", "uinteger", value) for value in ("-1", "4294967296")),
    ],
)
def test_a_generator_that_would_read_outside_its_memory(path, monkeypatch, kind, name, value):
    model = nn.Dropout(0.5, rng=np.random.Generator(getattr(np.random, kind)(1)))
    with monkeypatch.context() as patch:
        forge(patch, rf'\["{name}",\d+'.encode(), f'["{name}",{value}'.encode())
        nn.save(path, model)
    refusal(path, f"{name} of a generator must be an integer from 0 to")
    before = model.rng.bit_generator.state
    with pytest.raises(tg.CheckpointError, match=name):
        nn.load(path, model=model)
    np.testing.assert_equal(model.rng.bit_generator.state, before)
    nn.save(path, model)
    nn.load(path).model(np.ones(1000))


@pytest.mark.promise("L2")
def test_a_key_that_comes_twice_among_very_many(tmp_path):
    """Looking for it takes no longer than reading: comparing every key with every other would take hours."""
    keys = ",".join(f'"{i}":0' for i in range(300_000))
    text = f'{{{keys},"7":0}}'.encode()
    (tmp_path / "m.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    refusal(tmp_path / "m.safetensors", "has the key '7' twice", limit=10**9)


@pytest.mark.promise("L2")
def test_a_header_that_is_no_utf8(tmp_path, monkeypatch):
    """SAFETENSORS has this case for the other format."""
    forge(monkeypatch, b'"epoch"', b'"ep\xffch"')
    saved(tmp_path / "m.npz")
    refusal(tmp_path / "m.npz", "not valid JSON .*utf-8")


# --- flipped bits (L4) ---------------------------------------------------------------------------------------


@pytest.mark.promise("L4")
def test_a_flipped_bit_in_a_tensor(path):
    model = saved(path)
    content = path.read_bytes()
    names = {name: array.tobytes() for name, array in model.state_dict().items()}
    assert len(set(names.values())) == len(names)
    for name, data in names.items():
        assert content.count(data) == 1
        start = content.index(data)
        for position in range(start, start + len(data)):
            for bit in range(8):
                changed = bytearray(content)
                changed[position] ^= 1 << bit
                path.write_bytes(changed)
                with pytest.raises(tg.CheckpointError, match=f"tensor '{name}': its checksum"):
                    nn.load(path)


@pytest.mark.promise("L4")
def test_a_flipped_bit_anywhere(path):
    """An error, or no difference."""
    model = saved(path)
    expected = {name: array.tobytes() for name, array in model.state_dict().items()}
    content = path.read_bytes()
    loaded = nn.load(path)
    state = repr(loaded.optimizer.state_dict())
    harmless = 0
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << (position * 5 + position // 8) % 8
        path.write_bytes(changed)
        try:
            result = nn.load(path)
        except tg.CheckpointError:
            continue
        harmless += 1
        assert {name: array.tobytes() for name, array in result.model.state_dict().items()} == expected
        assert repr(result.optimizer.state_dict()) == state
        assert result.extra == {"epoch": 3}
    assert harmless < len(content) / 1000
    path.write_bytes(content)
    nn.load(path)
