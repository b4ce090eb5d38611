"""Headers that someone else wrote, with valid checksums: what they may not say."""

import copy
import tracemalloc

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._files import header as headers
from nn._files import source as sources
from tests.nn.forging import captured, state_of, write
from tests.nn.saved import train


def attributes(entry):
    return entry["attributes"]["dict"]


def entries(header, kind):
    return [entry for entry in header["objects"] if entry.get("class", entry.get("optimizer")) == kind]


def trained(seed=0, kind=nn.SGD, **options):
    model = nn.MLP([4, 3], rng=seed)
    optimizer = kind(model.parameters(), **options)
    if kind is not nn.LBFGS:
        train(model, optimizer, steps=1)
    return model, optimizer


def refuse(path, honest, header, match):
    """The file is refused, with and without objects to load it into, which stay as they are."""
    write(path, header, honest.arrays)
    for count in range(len(honest.into()) + 1):
        given = honest.into()[:count]
        before = state_of(given)
        with pytest.raises(tg.CheckpointError, match=match):
            nn.load(path, *given)
        assert state_of(given) == before


# --- attributes of optimisers (R8) ---------------------------------------------------------------------------

ATTRIBUTES = {
    "not a dict": (nn.SGD, 8, "'int' object is not iterable"),
    "parts of an optimiser": (nn.SGD, {"dict": [["_buckets", 8]]}, "'_buckets' is not an attribute that a file can"),
    "its groups": (nn.SGD, {"dict": [["param_groups", []]]}, "'param_groups' is not an attribute that a file can set"),
    "a method": (nn.SGD, {"dict": [["step", 8]]}, "the attribute 'step' would hide what SGD defines"),
    "a property": (nn.SGD, {"dict": [["lr", 8]]}, "the attribute 'lr' would hide"),
    "the class": (nn.SGD, {"dict": [["__class__", 8]]}, "the attribute '__class__' would hide"),
    "a number for a name": (nn.SGD, {"dict": [[8, 8]]}, "name is not a string"),
    "a negative count": (nn.SGD, {"dict": [["skipped", -1]]}, "skipped is -1, expected a value like 0"),
    "a huge count": (nn.SGD, {"dict": [["skipped", 2**63]]}, "skipped is 9223372036854775808, expected a value"),
    "a truth for a count": (nn.SGD, {"dict": [["skipped", True]]}, "skipped is True, expected a value like 0"),
    "text for a list": (nn.LBFGS, {"dict": [["losses", "x"]]}, r"losses is 'x', expected a value like \[\]"),
    "text in a list": (nn.LBFGS, {"dict": [["losses", ["x"]]]}, r"losses is \['x'\], expected a value like \[\]"),
    "a count for a truth": (nn.LBFGS, {"dict": [["converged", 1]]}, "converged is 1, expected a value like False"),
}


@pytest.mark.promise("L2", "L9")
@pytest.mark.parametrize(("kind", "value", "match"), ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_attributes_of_an_optimizer(path, kind, value, match):
    honest = captured(*trained(0, kind), into=trained(1, kind))
    header = copy.deepcopy(honest.header)
    (entry,) = entries(header, kind.__name__)
    entry["attributes"] = value
    write(path, header, honest.arrays)
    before = state_of(given := honest.into())
    for objects in ((), given):  # with the model alone, the optimiser is rebuilt
        with pytest.raises(tg.CheckpointError, match=match):
            nn.load(path, *objects)
    assert state_of(given) == before
    refuse(path, honest, header, match)


def test_an_attribute_of_the_users_own_stays(path):
    model, optimizer = trained()
    optimizer.note, optimizer.skipped = "mine", 3
    nn.save(path, model, optimizer)
    for loaded in (nn.load(path).optimizer, nn.load(path, *trained(1)).optimizer):
        assert (loaded.note, loaded.skipped) == ("mine", 3)


@pytest.mark.promise("L2")
@pytest.mark.parametrize(
    ("state", "match"),
    [
        (["t", 2**63], r"t must be below 2\*\*63"),
        (["t", -1], "t must be an integer of at least 0"),
        (["momentum", [1.0]], "expected"),
    ],
)
def test_the_state_of_an_optimizer(path, state, match):
    honest = captured(*trained(0, momentum=0.5), into=trained(1, momentum=0.5))
    header = copy.deepcopy(honest.header)
    (entry,) = entries(header, "SGD")
    first = dict(map(tuple, entry["state"]["dict"]))["state"]["dict"][0][1]["dict"]
    next(pair for pair in first if pair[0] == state[0])[1] = state[1]
    write(path, header, honest.arrays)
    before = state_of(given := honest.into())
    with pytest.raises(tg.CheckpointError, match=match):
        nn.load(path, *given)
    assert state_of(given) == before
    with pytest.raises(tg.CheckpointError, match=match):
        nn.load(path)


@pytest.mark.promise("L2")
def test_an_option_of_a_group_has_a_name(path):
    honest = captured(*trained(0), into=trained(1))
    header = copy.deepcopy(honest.header)
    (entry,) = entries(header, "SGD")
    dict(map(tuple, entry["state"]["dict"]))["param_groups"][0]["dict"].append(["a\x1bb", 1])
    write(path, header, honest.arrays)
    before = state_of(given := honest.into())
    for objects in ((), given):
        with pytest.raises(tg.CheckpointError, match=r"'a\\x1bb' is not the name of an option"):
            nn.load(path, *objects)
    assert state_of(given) == before


# --- attributes of other objects -----------------------------------------------------------------------------


@pytest.mark.promise("L2")
@pytest.mark.parametrize("name", ["forward", "parameters", "__class__", "__dict__", "__getstate__", "brief"])
def test_an_attribute_hides_no_method(path, name):
    honest = captured(nn.Sequential(nn.Linear(2, 1)), into=())
    header = copy.deepcopy(honest.header)
    attributes(entries(header, "Linear")[0]).append([name, 8])
    refuse(path, honest, header, f"the attribute '{name}' would hide what Linear defines")


class Held(nn.Module):
    """A class of the user's own that holds records."""

    def __init__(self, seed=0):
        super().__init__()
        self.layer = nn.Linear(2, 1, rng=seed)
        self.history = nn.History()
        self.history.append({"loss": 1.0 + seed})
        self.stop = nn.EarlyStopping(patience=5 + seed)
        self.tuning = nn.SGD(self.layer.parameters(), lr=0.1)
        self.schedule = nn.StepLR(self.tuning, 3)
        self.average = nn.ExponentialMovingAverage(self.layer)


RECORDS = {
    "a column of text": ("History", "columns", {"dict": [["loss", "x"]]}, "two tables of numbers"),
    "text in a column": ("History", "columns", {"dict": [["loss", ["x"]]]}, "two tables of numbers"),
    "why it stopped": ("History", "stopped", 8, "two tables of numbers"),
    "patience": ("EarlyStopping", "patience", "x", "patience must be an integer of at least 1, got 'x'"),
    "mode": ("EarlyStopping", "mode", 8, "mode must be .* got 8"),
    "a baseline": ("EarlyStopping", "baseline", "x", "baseline must be a finite number, got 'x'"),
    "what was best": ("EarlyStopping", "_best", "x", "the best value is not a float"),
    "best weights": ("EarlyStopping", "_weights", 8, "its weights are not a dict"),
    "a column to follow": ("EarlyStopping", "monitor", 8, "monitor is not a string"),
    "the optimiser of a schedule": ("StepLR", "optimizer", 8, "the optimizer of StepLR is not an Optimizer"),
    "a step size": ("StepLR", "step_size", 0, "step_size must be an integer of at least 1"),
    "no averages": ("ExponentialMovingAverage", "averages", {"dict": []}, "average: averages differs in 'W', 'b'"),
    "averages of another kind": ("ExponentialMovingAverage", "averages", 8, "averages is not a dict of arrays"),
    "weights set aside": ("ExponentialMovingAverage", "own", 8, "own is not a dict of arrays"),
    "other weights set aside": ("ExponentialMovingAverage", "own", {"dict": []}, "own has other names"),
    "no model": ("ExponentialMovingAverage", "model", None, "model is not a Module"),
    "no optimiser": ("StepLR", "optimizer", None, "the optimizer of StepLR is not an Optimizer"),
    "a decay": ("ExponentialMovingAverage", "decay", 8, r"decay must be in \[0, 1\], got 8"),
    "updates": ("ExponentialMovingAverage", "updates", -1, "updates must be an integer of at least 0"),
}


@pytest.mark.promise("L2", "L9")
@pytest.mark.parametrize(("kind", "name", "value", "match"), RECORDS.values(), ids=RECORDS)
def test_records_that_would_not_work(path, kind, name, value, match):
    honest = captured(Held(0), into=(Held(1),))
    header = copy.deepcopy(honest.header)
    (entry,) = entries(header, kind)
    entry["attributes"]["dict"] = [pair for pair in attributes(entry) if pair[0] != name] + [[name, value]]
    write(path, header, honest.arrays)
    given = honest.into()
    before = state_of(given)
    with pytest.raises(tg.CheckpointError, match=match):
        nn.load(path, *given)
    assert state_of(given) == before


@pytest.mark.promise("L2")
def test_a_record_of_another_class_of_attributes(path):
    honest = captured(Held(0), into=(Held(1),))
    more = (lambda pairs: pairs.append(["more", 8]), "stop: it differs in 'more'")
    fewer = (lambda pairs: pairs.pop(), "'EarlyStopping' object has no attribute '_weights'")
    for change, match in (more, fewer):
        header = copy.deepcopy(honest.header)
        change(attributes(entries(header, "EarlyStopping")[0]))
        write(path, header, honest.arrays)
        with pytest.raises(tg.CheckpointError, match=match):
            nn.load(path, *honest.into())


@pytest.mark.promise("L1")
@pytest.mark.parametrize("kind", ["Checkpoint", "CSVLog", "TensorBoard"])
def test_no_file_says_where_to_write(path, kind):
    """What writes to a path of its own is not among what a file can name."""
    honest = captured(nn.Sequential(nn.Linear(2, 1)), into=())
    header = copy.deepcopy(honest.header)
    header["objects"].append({"class": kind, "attributes": {"dict": [["path", "/etc/passwd"]]}})
    header["extra"] = {"dict": [["callback", {"object": len(header["objects"]) - 1}]]}
    refuse(path, honest, header, f"nn has no class '{kind}'")
    callback = getattr(nn, kind)(str(path))
    with pytest.raises(TypeError, match=f"extra.callback: {kind} writes to a path, which no file may choose"):
        nn.save(path, nn.Linear(2, 1), extra={"callback": callback})
    model = nn.Module()
    model.log, model.layer = callback, nn.Linear(2, 1, rng=0)
    nn.save(path, model)
    model.log = other = getattr(nn, kind)(str(path.with_name(f"other{path.suffix}")))
    assert nn.load(path, model).model.log is other  # it stays as it is


# --- references (R6) -----------------------------------------------------------------------------------------


@pytest.mark.promise("L3")
def test_a_tensor_belongs_to_one_object(path):
    honest = captured(*trained(0), into=trained(1))
    header = copy.deepcopy(honest.header)
    names = [entry["parameter"] for entry in header["objects"] if "parameter" in entry]
    for entry in header["objects"]:
        if "parameter" in entry:
            entry["parameter"] = names[0]
    refuse(path, honest, header, "two objects are the tensor 'layers.0.W'")


@pytest.mark.promise("L3")
def test_a_shared_parameter_stays_shared(path):
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=1))
    model[1].W = model[0].W
    nn.save(path, model, extra={"array": (array := np.arange(3)), "same": array})
    loaded = nn.load(path)
    assert loaded.model[1].W is loaded.model[0].W
    assert loaded.extra["array"] is loaded.extra["same"]


@pytest.mark.promise("L3")
@pytest.mark.parametrize(
    ("entry", "match"),
    [
        (8, "object 0 is not of one kind"),
        ({}, "object 0 is not of one kind"),
        ({"array": "layers.0.W", "tensor": "layers.0.W"}, "object 0 is not of one kind, but of 2"),
        ({"parameter": "layers.0.W", "requires_grad": 1, "name": None}, "requires_grad, 1, of a tensor"),
        ({"parameter": "layers.0.W", "requires_grad": True, "name": 8}, "the name 8 or requires_grad"),
    ],
)
def test_entries_of_the_table(path, entry, match):
    honest = captured(*trained(0), into=())
    header = copy.deepcopy(honest.header)
    position = next(i for i, each in enumerate(header["objects"]) if each.get("parameter") == "layers.0.W")
    header["objects"][position] = header["objects"][0]
    header["objects"][0] = entry
    header["model"] = [{"object": 0}]
    refuse(path, honest, header, match)


@pytest.mark.promise("L9")
def test_two_members_are_two_objects(path):
    honest = captured(*trained(0), into=trained(1))
    header = copy.deepcopy(honest.header)
    header["state"][1][1] = header["state"][0][1]
    write(path, header, honest.arrays)
    with pytest.raises(tg.CheckpointError, match=r"two members are one object: 'layers\.0\.b' and another"):
        nn.load(path, *honest.into())
    header["state"][1][0] = header["state"][0][0]
    write(path, header, honest.arrays)
    with pytest.raises(tg.CheckpointError, match=r"'layers\.0\.W' is not a path, or comes twice"):
        nn.load(path, *honest.into())


@pytest.mark.promise("L3")
@pytest.mark.parametrize(("optimizers", "most"), [(0, 3), (4, 16)])
def test_the_memory_of_tensors(path, optimizers, most):
    """As SECURITY.md says. The optimisers have no state yet, so the file holds none of it."""
    model = nn.Linear(700, 700, rng=0)
    model.W.data = np.asfortranarray(model.W.data)
    several = [nn.AdamW(model.parameters(), amsgrad=True) for _ in range(optimizers)]
    nn.save(path, model, extra={"several": several})
    tracemalloc.start()
    try:
        nn.load(path)
        assert tracemalloc.get_traced_memory()[1] < most * path.stat().st_size
    finally:
        tracemalloc.stop()


# --- what nn.save writes, nn.load reads (R7) -----------------------------------------------------------------


def test_keys_of_a_dict(path):
    many = dict.fromkeys(range(-2000, 2000), 0) | dict.fromkeys(map(str, range(2000)), 0)
    many |= {2**48 - 1: 0, np.int64(2**40): 1}
    others = {(i, 0.5): i for i in range(1000)}
    nn.save(path, nn.Linear(2, 1), extra={"many": many, "others": others})
    assert nn.load(path).extra == {"many": many, "others": others}
    for key in ((0, 0), 0.5, 2**48, -(2**48)):
        bad = {**others, key: 0}
        with pytest.raises(TypeError, match=r"extra\.bad: a dict with more than 1,000 keys that are neither strings"):
            nn.save(path, nn.Linear(2, 1), extra={"bad": bad})
    assert nn.load(path).extra == {"many": many, "others": others}


def test_optimizers_and_seeds(path):
    model = nn.Linear(20, 10, rng=0)
    several = [nn.Adam(model.parameters()) for _ in range(4)]
    seeds = [np.random.default_rng([1, 2, i]) for i in range(100)]
    nn.save(path, model, extra={"several": several, "seeds": seeds})
    loaded = nn.load(path).extra
    assert [type(optimizer) for optimizer in loaded["several"]] == [nn.Adam] * 4
    assert [rng.random() for rng in loaded["seeds"]] == [rng.random() for rng in seeds]
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"nn\.save: extra: the parameters have more than 4 optimisers each"):
        nn.save(path, model, extra={"several": [*several, nn.SGD(model.parameters(), lr=0.1)]})
    long = np.random.default_rng(np.ones(40_000, np.int64))
    with pytest.raises(
        ValueError, match=r"nn\.save: extra\.long\.seed: the seeds of all generators have more than 65,536"
    ):
        nn.save(path, model, extra={"long": long})
    assert path.read_bytes() == before


def test_a_header_of_too_many_lists(path, monkeypatch):
    for module in (headers, sources):
        monkeypatch.setattr(module, "CONTAINER_LIMIT", 3000)
    nn.save(path, nn.Linear(2, 1), extra={"rows": [[0, 1]] * 1000})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"have 3,0.. lists, tuples and dicts, expected at most 3,000; put nested"):
        nn.save(path, nn.Linear(2, 1), extra={"rows": [[]] * 2999})
    assert path.read_bytes() == before
    honest = captured(nn.Linear(2, 1), into=())
    write(path, {**honest.header, "extra": [[]] * 3000}, honest.arrays)
    with pytest.raises(tg.CheckpointError, match=r"the header has 3,0.. lists and objects, expected at most 3,000"):
        nn.load(path)


# --- names (R12) ---------------------------------------------------------------------------------------------


@pytest.mark.promise("L2")
@pytest.mark.parametrize("where", ["state", "class", "unsaved", "tensors"])
def test_names_in_errors_are_escapes(path, where):
    name = "\x1b]0;x\x07"
    honest = captured(*trained(0), into=trained(1))
    header = copy.deepcopy(honest.header)
    if where == "state":
        header["state"][0][0] = name
    elif where == "class":
        entries(header, "Linear")[0]["class"] = name
    elif where == "unsaved":
        header["extra"] = {"unsaved": name}
    else:
        header["tensors"][name] = {**header["tensors"]["layers.0.W"], "dtype": "x"}
    write(path, header, honest.arrays)
    with pytest.raises(tg.CheckpointError) as error:
        nn.load(path, *(honest.into() if where == "state" else ()))
    assert r"\x1b]0;x\x07" in str(error.value)
    assert str(error.value).replace("\n", "").isprintable()


@pytest.mark.promise("L1", "L2")
def test_a_name_in_a_file_is_no_code(path, tmp_path):
    """The paths of modules are comments of the program that a compiled step is."""
    mark = tmp_path / "mark"
    name = f"a\n    open({str(mark)!r}, 'w').close()\n    #"
    honest = captured(nn.MLP([2, 3, 2], rng=0), into=())
    header = copy.deepcopy(honest.header)
    (entry,) = entries(header, "MLP")
    place = next(i for i, pair in enumerate(attributes(entry)) if pair[0] == "layers")
    attributes(entry).insert(place, [name, attributes(entry)[place][1]])  # another name of the layers
    write(path, header, honest.arrays)
    model = nn.load(path).model
    step = tg.compile(lambda x: model(x).sum())
    x = np.ones((4, 2), np.float32)
    assert step(x).item() == pytest.approx(step(x).item())
    assert r"# a\n    open(" in step.source
    assert not mark.exists()
