"""The order of imports, and what `import tensorgrad` loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tensorgrad as tg

ROOT = Path(tg.__file__).parent.parent
# Each may import those before it, anywhere in the file. Files of the same package may import each other, as long as
# the test for cycles passes.
LAYERS = [
    {"errors", "report", "words"},
    {"engine"},
    {"batching"},
    {"debugging", "ops"},
    {"fft", "linalg", "special"},
    {"random", "stats"},
    {"adapters", "namespaces"},
    {"interop"},
    {"tensor"},
    {"creation", "functional", "reasons"},
    {"optimize", "testing"},
    {"compiler"},
    {"export"},
    {"derive"},
    {"viz"},
]
NN_LAYERS = [
    {"_setting", "_tables", "_words"},
    {"_parameter", "_running", "_checks", "_shards"},
    {"_hooks", "_members", "_evaluation"},
    {"functional", "_display", "_summary"},
    {"_module", "init", "metrics"},
    {"_layers", "_losses"},
    {"_models", "_optim"},
    {"_files", "parallel"},
    {"_training"},
    {"_monitor"},
    {"_exchange", "_estimators"},
]
ALLOWED_AT_IMPORT = {"numpy", "tensorgrad", "cython_runtime"}  # the last one is part of numpy.random


class Imports(ast.NodeVisitor):
    """The dotted names of all modules that a file imports: ``found``, and ``typing_only`` for annotations only."""

    def __init__(self, path):
        self.package = path.relative_to(ROOT).parent.parts
        self.found = []
        self.typing_only = []
        self.visit(ast.parse(path.read_text()))

    def visit_If(self, node):
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)
            return
        found, self.found = self.found, self.typing_only
        for statement in node.body:
            self.visit(statement)
        self.found = found
        for statement in node.orelse:
            self.visit(statement)

    def visit_Import(self, node):
        self.found += [(alias.name, ()) for alias in node.names]

    def visit_ImportFrom(self, node):
        names = tuple(alias.name for alias in node.names)
        if not node.level:
            self.found.append((node.module, names))
            return
        base = self.package[: len(self.package) - node.level + 1]
        if node.module:
            self.found.append((".".join((*base, node.module)), names))
        else:
            self.found += [(".".join((*base, name)), ()) for name in names]


def files(package):
    return sorted(path for path in (ROOT / package).rglob("*.py"))


def dotted(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(module):
    package, name = module.split(".")[:2]
    for i, names in enumerate(NN_LAYERS if package == "nn" else LAYERS):
        if name in names:
            return i
    raise AssertionError(f"{package}.{name} has no place in the order of imports")


@pytest.mark.parametrize("path", files("tensorgrad"), ids=dotted)
def test_tensorgrad_imports_one_way(path):
    module = dotted(path)
    if module == "tensorgrad":
        return
    for imported, _ in Imports(path).found:
        assert imported.split(".")[0] != "nn", f"{module} imports nn"
        if not imported.startswith("tensorgrad"):
            continue
        assert imported != "tensorgrad", f"{module} imports the package itself"
        same_package = imported.split(".")[:2] == module.split(".")[:2]
        assert same_package or layer(imported) < layer(module), f"{module} imports {imported}"


@pytest.mark.parametrize("path", files("nn"), ids=dotted)
def test_nn_imports_one_way(path):
    module = dotted(path)
    if module == "nn":
        return
    for imported, _ in Imports(path).found:
        if imported.startswith("nn."):
            same_package = imported.split(".")[:2] == module.split(".")[:2]
            assert same_package or layer(imported) < layer(module), f"{module} imports {imported}"


def test_the_engine_imports_nothing_but_the_errors():
    for path in files("tensorgrad/engine"):
        inside = [name for name, _ in Imports(path).found if name.startswith("tensorgrad")]
        assert all(name.startswith(("tensorgrad.engine", "tensorgrad.errors")) for name in inside), path
    upwards = [(dotted(path), name) for path in files("tensorgrad") for name, _ in Imports(path).typing_only]
    assert upwards == [("tensorgrad.engine.record", "tensorgrad.tensor")]


def test_no_cycles():
    known = {dotted(path): path for path in files("tensorgrad") if dotted(path) != "tensorgrad"}
    waiting = {
        module: {name for name, _ in Imports(path).found if name in known and name != module}
        for module, path in known.items()
    }
    for package in (
        "tensorgrad.engine",
        "tensorgrad.ops",
        "tensorgrad.linalg",
        "tensorgrad.functional",
        "tensorgrad.batching",
        "tensorgrad.viz",
        "tensorgrad.compiler",
        "tensorgrad.export",
        "tensorgrad.derive",
    ):
        for module, imported in waiting.items():
            if module.startswith(package):
                imported.discard(package)  # its parts, not the package that gathers them
    while waiting:
        ready = {module for module, imported in waiting.items() if not imported & waiting.keys()}
        assert ready, f"these import each other: {sorted(waiting)}"
        for module in ready:
            del waiting[module]


@pytest.mark.parametrize("path", files("nn"), ids=dotted)
def test_nn_imports_public_names_only(path):
    for imported, names in Imports(path).found:
        top, *rest = imported.split(".")
        if top == "tensorgrad":
            assert not rest, f"{dotted(path)} imports {imported}, a file of the engine"
            for name in names:
                assert hasattr(tg, name), f"tensorgrad has no public {name}"
                assert not name.startswith("_")


@pytest.mark.parametrize("path", files("tensorgrad") + files("nn"), ids=dotted)
def test_names_that_others_import_have_no_underscore(path):
    """A file that is private is named so; an underscore says that nobody else uses the name."""
    for imported, names in Imports(path).found:
        if imported.split(".")[0] in ("nn", "tensorgrad"):
            folder = ROOT.joinpath(*imported.split("."))
            private = [name for name in names if name.startswith("_") and not is_file(folder / name)]
            assert not private, f"{dotted(path)} imports {', '.join(private)} of {imported}"


def is_file(path):
    return path.is_dir() or path.with_suffix(".py").exists()


@pytest.mark.parametrize("path", files("tensorgrad") + files("nn"), ids=dotted)
def test_no_star_imports(path):
    assert all("*" not in names for _, names in Imports(path).found)


@pytest.mark.parametrize("package", ["tensorgrad", "nn"])
def test_import_loads_only_numpy(package):
    program = f"""
import sys
import numpy
before = set(sys.modules)
import {package}
import tensorgrad as tg
x = tg.Tensor([1.0, 2.0], requires_grad=True)
tg.softmax(x * 2).sum().backward()
repr(x)
print(*sorted(set(sys.modules) - before))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = run.stdout.split()
    assert "tensorgrad.tensor" in loaded
    tops = {name.split(".")[0] for name in loaded}
    strangers = (
        {name for name in tops if not name.startswith("_cython")}
        - set(sys.stdlib_module_names)
        - ALLOWED_AT_IMPORT
        - {"nn"}
    )
    assert not strangers
    heavy = {"asyncio", "xml", "unittest", "multiprocessing", "concurrent", "http", "email", "ssl", "sqlite3"}
    assert not tops & heavy
    assert "numpy.ma" not in loaded


def test_import_time_shows_the_same():
    command = [sys.executable, "-X", "importtime", "-c", "import tensorgrad"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    names = {line.rpartition("|")[2].strip().split(".")[0] for line in run.stderr.splitlines()}
    assert {"numpy", "tensorgrad"} <= names
    assert not names & {
        "scipy",
        "matplotlib",
        "graphviz",
        "sklearn",
        "torch",
        "tqdm",
        "IPython",
        "asyncio",
        "xml",
    }
