"""The library promises what happens in each of these cases, and tests marked ``promise`` with its number check it.

``pytest -m promise`` runs them all.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parent

PROMISES = {
    "A1": "backward over a chain of 10,000 operations",
    "A2": "backward over 1,000,000 operations, with little memory each",
    "A3": "a graph of a million operations that never ran backward is freed",
    "A4": "y = y + y sixty times",
    "A5": "that graph drawn, shown, copied",
    "A6": "300 training steps without the collector",
    "A7": "forward only, without the collector",
    "A8": "an exception between forward and backward",
    "A9": "losses kept after backward",
    "A10": "1,000-way fan-in and fan-out",
    "A11": "saved arrays are freed during backward",
    "B1": "backward twice",
    "B2": "retain_graph",
    "B3": "two losses on one subgraph",
    "B4": "two fresh graphs without zeroing",
    "B5": "a root that is not a scalar",
    "B6": "a gradient of the wrong shape",
    "B7": "a root that does not require grad",
    "B8": "an exception in the middle of backward",
    "B9": "the gradient of a result",
    "B10": "the caller changes the gradient it passed",
    "B11": "gradients share no memory",
    "B12": "one Tensor in several places",
    "B13": "a leaf as root",
    "B14": "an input that is not used",
    "B15": "two leaves of equal value",
    "B16": "an unused branch, a detached one, a no_grad island",
    "B17": "a user's own rule that returns the wrong thing",
    "B18": "a hook that writes to its gradient",
    "C1": "the array given to Tensor is written to",
    "C2": "the array given to from_numpy is written to before backward",
    "C3": "a constant array is changed before backward",
    "C4": "x.data is written to before backward",
    "C5": "x.data is rebound before backward",
    "C6": "an earlier view of the memory is written to",
    "C7": "an in-place operation on a value that was saved",
    "C8": "an in-place operation on a value that nothing saved",
    "C9": "an optimiser's step before backward",
    "C10": "an in-place update of a leaf that requires grad",
    "C11": "y[0] = 7 on a result",
    "C12": "arrays are writable again afterwards",
    "C13": "a view and its base",
    "D1": "relu, abs and sign at 0",
    "D2": "ties of max and min over all elements",
    "D3": "a tie of maximum and minimum",
    "D4": "clip at its bounds",
    "D5": "norm at zero",
    "D6": "std and var of a constant",
    "D7": "prod with zeros",
    "D8": "sqrt, log, 1/x at 0",
    "D9": "a dead branch of where",
    "D10": "very large numbers",
    "D11": "powers at 0 and of negative numbers",
    "D12": "indices of every kind",
    "D13": "subgradients of sorting and running operations",
    "E1": "integers that require a gradient",
    "E2": "data that are not numbers",
    "E3": "NumPy's functions and operators",
    "E4": "conversions that would cut the graph",
    "E5": "the truth value of several elements, and membership",
    "E6": "hash, dict and set",
    "E7": "scalars are weak",
    "E8": "a float32 leaf and a float64 constant",
    "E9": "results without axes stay arrays",
    "E10": "layouts, byte orders, zero strides, read-only arrays",
    "E11": "float16 overflow",
    "E12": "empty arrays",
    "F1": "matmul mismatch",
    "F2": "broadcast mismatch",
    "F3": "shapes and axes that do not fit",
    "F4": "gradients of broadcast arguments",
    "F5": "(n, 1) against (n,)",
    "F6": "an error inside a nested module",
    "G1": "a batch norm and a batch of one",
    "G2": "a batch norm and an empty batch",
    "G3": "a batch norm and the wrong number of features, or a constant feature",
    "G4": "a batch norm and a batch with NaN",
    "G5": "the running statistics of a batch norm",
    "G6": "labels out of range",
    "G7": "labels of the wrong type or number",
    "G8": "a loss of an empty batch",
    "G9": "logits of any size, and infinite ones",
    "G10": "binary cross-entropy at its ends",
    "G11": "probabilities and seeds of dropout",
    "G12": "a module without super().__init__() or forward",
    "G13": "layers in lists and dicts",
    "G14": "one module in two places",
    "H1": "invalid options and parameters",
    "H2": "a parameter without a gradient",
    "H3": "a gradient that is not finite",
    "H4": "clipping a norm that is NaN, infinite or zero",
    "H5": "a parameter that was replaced",
    "H6": "a thousand steps compared with a peer",
    "H7": "resumption, bit for bit",
    "I1": "a loss that is NaN",
    "I2": "the first NaN or infinity, in debug mode",
    "I3": "debug mode costs nothing when off",
    "J1": "threads with separate graphs",
    "J2": "switches in one thread or task",
    "J3": "threads that add to one leaf",
    "J4": "Ctrl-C anywhere in a step",
    "K1": "the same bits in every process",
    "K2": "NumPy's global random state",
    "K3": "threads of the BLAS",
    "L1": "files that run code in other loaders",
    "L2": "malformed files",
    "L3": "files that claim to be huge",
    "L4": "a flipped bit",
    "L5": "a kill in the middle of saving",
    "L6": "a full disk, a missing folder",
    "L7": "layouts, byte orders and dtypes",
    "L8": "names that look like paths",
    "L9": "a file that does not fit the model",
    "L10": "pickles and copies",
    "L11": "hostile names in drawings",
    "L12": "files from other machines and versions",
    "M1": "gradcheck and planted mistakes",
    "M2": "gradcheck where differences mean nothing",
    "M3": "every public operation is checked",
    "M4": "random expressions compared with a peer",
}


def promised() -> dict[str, list[str]]:
    """The tests of each promise."""
    found: dict[str, list[str]] = {}
    for path in sorted(ROOT.rglob("test_*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef) or not function.name.startswith("test_"):
                continue
            for mark in function.decorator_list:
                if ast.unparse(mark).startswith("pytest.mark.promise("):
                    for number in ast.literal_eval(f"[{ast.unparse(mark).partition('(')[2][:-1]}]"):
                        found.setdefault(number, []).append(f"{path.relative_to(ROOT)}::{function.name}")
    return found


def test_every_promise_has_a_test():
    assert promised().keys() == PROMISES.keys()
