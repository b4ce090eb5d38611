"""Forged files at random, and files that are made to cost much: a small part of ``make fuzz-files``."""

import pytest

import nn
import tensorgrad as tg
from tests.nn.costly import ARRAYS, cost_of, large, refused, require_linear
from tests.nn.forging import FORMATS, forge, honest_files, judge, write

SIZE = 2**16  # bytes


@pytest.fixture(scope="module")
def honest():
    return honest_files()


@pytest.mark.promise("L2", "L9")
@pytest.mark.parametrize("first", range(0, 300, 100))
def test_forged_files(tmp_path, honest, first):
    """Each is loaded, and works, or is refused, and has changed nothing."""
    counts = forge(tmp_path, range(first, first + 100), honest)
    assert counts["loaded"] > 5
    assert counts["refused"] > 40


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_files_that_are_forged_are_fine_before(tmp_path, honest, suffix):
    for number, each in enumerate(honest):
        path = tmp_path / f"{number}.{suffix}"
        write(path, each.header, each.arrays)
        given = each.into()
        for count in range(len(given) + 1):
            if count or number != 2:  # that one has a class of the user's own
                assert judge(path, given[:count])


REFUSALS = {
    "lists alone": "expected an object|not written by nn.save",
    "objects alone": "expected an object|not written by nn.save",
    "nesting": "not valid JSON",
    "deep tuples": "not valid JSON",
    "colliding integers": r"more than 1,000 keys that are neither strings nor integers below 2\*\*48",
    "colliding tuples": "more than 1,000 keys",
    "colliding scalars": "more than 1,000 keys",
    "one tensor often": "two objects are the tensor 'w'",
    "one parameter in many optimisers": "the parameters have more than 4 optimisers each",
    "many groups": r"[0-9,]+ groups of an optimiser for 1 parameters",
    "many states": "no such parameter",
    "one parameter often in an optimiser": "more than 4 optimisers each",
    "spawn keys": "the seeds of all generators have more than 65,536 words",
    "entropy": "the seeds of all generators have more than 65,536 words",
    "generators of one array": "key of a generator has dtype float32",
    "wide labels": "expected at most 16,777,216 for all labels",
    "tensors without bytes": "does not consist of dtype, shape and sha256|name different tensors",
}


@pytest.mark.promise("L3")
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", REFUSALS)
def test_files_that_ask_for_more_than_their_share(tmp_path, name, suffix):
    path = tmp_path / f"costly.{suffix}"
    write(path, refused(SIZE)[name], ARRAYS)
    with pytest.raises(tg.CheckpointError, match=REFUSALS[name]):
        nn.load(path)
    require_linear(name, cost_of(path))


@pytest.mark.promise("L3")
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", large(2**10))
def test_files_that_hold_much_of_one_thing(tmp_path, name, suffix):
    path = tmp_path / f"costly.{suffix}"
    write(path, large(2**14)[name], ARRAYS)
    found = cost_of(path)
    assert not found.refusal
    require_linear(name, found)


def test_every_costly_file_is_tested():
    assert REFUSALS.keys() == refused(SIZE).keys()
