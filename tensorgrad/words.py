"""Names from other libraries, and what to write instead. There are no aliases: an error suggests the name.

A name is looked up here only if Python has not found it, so nothing else becomes slower. Also the names that completion
shows, and text as it may be shown: without control characters, and on streams that cannot encode all of it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from types import ModuleType
from typing import Any

__all__ = ["ForeignWord", "UnknownName", "escaped", "explain_keywords", "printable", "public_names", "unknown_name"]

# What to write for names from PyTorch, JAX, TensorFlow, MyGrad, autograd or micrograd.
FUNCTIONS = {
    "tensor": "tg.Tensor(data) for a leaf, tg.asarray(data) without a copy",
    "Variable": "tg.Tensor(data, requires_grad=True)",
    "Value": "tg.Tensor(number, requires_grad=True)",
    "as_tensor": "tg.asarray(data)",
    "from_array": "tg.from_numpy(array)",
    "array": "tg.Tensor(data) for a leaf, tg.asarray(data) for nested lists of Tensors",
    "randn": "tg.random.normal(0.0, 1.0, size, rng=seed)",
    "rand": "tg.random.uniform(0.0, 1.0, size, rng=seed)",
    "randint": "np.random.default_rng(seed).integers(low, high, size)",
    "randperm": "tg.random.permutation(n, rng=seed)",
    "manual_seed": "rng=seed in the call that draws numbers: there is no global state",
    "seed": "rng=seed in the call that draws numbers: there is no global state",
    "view": "tg.reshape",
    "unsqueeze": "tg.expand_dims(x, axis)",
    "permute": "tg.permute_dims(x, axes)",
    "cat": "tg.concatenate",
    "hcat": "tg.hstack",
    "vcat": "tg.vstack",
    "chunk": "tg.split",
    "mm": "x @ y, or tg.matmul",
    "bmm": "x @ y, or tg.matmul",
    "mv": "x @ y, or tg.matvec",
    "mul": "x * y, or tg.multiply",
    "div": "x / y, or tg.divide",
    "sub": "x - y, or tg.subtract",
    "neg": "-x, or tg.negative",
    "true_divide": "x / y, or tg.divide",
    "clamp": "tg.clip",
    "gather": "tg.take_along_axis",
    "scatter": "tg.put_along_axis, or tg.scatter_add",
    "index_select": "tg.take",
    "masked_select": "tg.extract, or x[mask]",
    "masked_fill": "tg.where(mask, value, x)",
    "detach": "t.detach(), or tg.stop_gradient(tree)",
    "clone": "t.copy()",
    "repeat_interleave": "tg.repeat",
    "logcumsum": "tg.logcumsumexp",
    "norm": "tg.linalg.norm",
    "inverse": "tg.linalg.inv",
    "inv": "tg.linalg.inv",
    "det": "tg.linalg.det",
    "svd": "tg.linalg.svd",
    "solve": "tg.linalg.solve",
    "erf": "tg.special.erf",
    "lgamma": "tg.special.gammaln",
    "digamma": "tg.special.digamma",
    "is_tensor": "isinstance(x, tg.Tensor)",
    "allclose": "np.allclose(x, y)",
    "set_grad_enabled": "tg.no_grad() or tg.enable_grad()",
    "inference_mode": "tg.no_grad()",
    "autograd": "tg.grad(f), or loss.backward()",
    "jit": "tg.compile",
    "elementwise_grad": "tg.grad(lambda x: f(x).sum())",
    "make_vjp": "tg.vjp",
    "make_jvp": "tg.jvp",
    "jacrev": "tg.jacobian",
    "jacfwd": "tg.jacobian",
    "save": "nn.save(path, model), or np.save(path, t.data)",
    "load": "nn.load(path), or np.load(path)",
    "cuda": "nothing in its place: arrays are always in CPU memory",
    "device": "nothing in its place: arrays are always in CPU memory",
    "nn": "import nn",
    "optim": "import nn, then nn.AdamW, nn.SGD and so on",
    "double": "tg.float64",
    "float": "tg.float32",
    "half": "tg.float16",
    "long": "tg.int64",
    "FloatTensor": "tg.Tensor(data, dtype=np.float32)",
    "function_of": "tg.differentiable",
    "custom_gradient": "tg.differentiable",
    "custom_vjp": "tg.differentiable",
    "checkpoint_sequential": "tg.checkpoint",
}

METHODS = {
    "view": "t.reshape(shape)",
    "view_as": "t.reshape(other.shape)",
    "unsqueeze": "tg.expand_dims(t, axis), or t[:, None]",
    "permute": "t.transpose(*axes)",
    "t": "t.T",
    "clone": "t.copy()",
    "numel": "t.size",
    "nelement": "t.size",
    "dim": "t.ndim",
    "cpu": "nothing in its place: arrays are always in CPU memory",
    "cuda": "nothing in its place: arrays are always in CPU memory",
    "to": "t.astype(dtype); there is no device to move to",
    "type": "t.astype(dtype)",
    "float": "t.astype(np.float32)",
    "double": "t.astype(np.float64)",
    "half": "t.astype(np.float16)",
    "long": "t.astype(np.int64)",
    "int": "t.astype(np.int32)",
    "bool": "t != 0",
    "mul": "t * other",
    "div": "t / other",
    "sub": "t - other",
    "add": "t + other",
    "mm": "t @ other",
    "clamp": "t.clip(low, high)",
    "expand": "tg.broadcast_to(t, shape)",
    "gather": "tg.take_along_axis(t, indices, axis)",
    "masked_fill": "tg.where(mask, value, t)",
    "masked_fill_": "tg.where(mask, value, t)",
    "requires_grad_": "t.requires_grad = True",
    "detach_": "t = t.detach()",
    "zero_": "t.grad = None for a gradient, t[:] = 0 for values",
    "zero_grad": "t.grad = None",
    "add_": "t += other",
    "sub_": "t -= other",
    "mul_": "t *= other",
    "div_": "t /= other",
    "copy_": "t[:] = other",
    "fill_": "t[:] = value",
    "grad_fn": "t.node, or tg.draw(t) for the whole graph",
    "gradient": "t.grad",
    "values": "t.data",
    "value": "t.item() for a number, t.data for the array",
    "is_cuda": "nothing in its place: arrays are always in CPU memory",
    "norm": "tg.linalg.norm(t)",
    "data_ptr": "t.data.ctypes.data",
    "apply_": "tg.differentiable",
    "null_grad": "t.grad = None",
}

KEYWORDS = {
    "dim": "axis",
    "dims": "axis or axes",
    "keepdim": "keepdims",
    "keep_dims": "keepdims",
    "reduction_indices": "axis",
    "input": "the first argument, by position",
    "other": "the second argument, by position",
    "a": "the first argument, by position",
    "n_dims": "ndim",
    "unbiased": "ddof",
    "size": "shape",
    "generator": "rng",
    "key": "rng",
    "seed": "rng",
    "a_min": "min",
    "a_max": "max",
}


class UnknownName(AttributeError):
    """A name that does not exist. The suggestion is looked up when the error is shown, not when it is raised."""

    def __init__(self, owner: str, name: str, words: dict[str, str], known: Callable[[], Iterable[str]]) -> None:
        super().__init__(name, obj=owner)  # given, so that Python 3.13 adds no "Did you mean" of its own
        self._name = name
        self._owner = owner
        self._words = words
        self._known = known

    def __str__(self) -> str:
        text = f"{self._owner} has no {self._name!r}"
        if self._name in self._words:
            return f"{text}; write {self._words[self._name]}"
        near = _nearest(self._name, [name for name in self._known() if not name.startswith("_") and name != self._name])
        return f"{text}; did you mean {near!r}?" if near else text

    def __reduce__(self) -> tuple[Any, ...]:
        return AttributeError, (str(self),)


class ForeignWord:
    """Stands in a class for another library's word, and raises as if nothing was there.

    A ``__getattr__`` would do so, too, but with one every attribute of an instance takes 25 ns longer. Python itself
    suggests the nearest name for a misspelt one.
    """

    def __init__(self, owner: str, name: str, words: dict[str, str]) -> None:
        self._unknown = (owner, name, words, tuple)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        raise UnknownName(*self._unknown)


def unknown_name(module: str, names: dict[str, Any], words: dict[str, str] | None = None) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module whose public names are ``names``."""

    def missing(name: str) -> Any:
        raise UnknownName(f"module {module}", name, {} if words is None else words, lambda: names)

    return missing


def public_names(names: dict[str, Any], modules: Iterable[str] = ()) -> Callable[[], list[str]]:
    """The ``__dir__`` of a module, for completion: its public names, and the modules among ``modules``.

    These are the names in ``__all__`` if there is one, otherwise all without an underscore that are not modules.
    Python's own, such as ``__doc__``, are there as well.
    """
    shown = set(modules)

    def listed() -> list[str]:
        own = names.get("__all__")
        if own is None:
            public = (n for n, value in names.items() if n[:1] != "_" and not isinstance(value, ModuleType))
            own = [*public, *shown]
        return sorted({*own, *(name for name in names if name.startswith("__") and name.endswith("__"))})

    return listed


# What to write where a stream has no such character.
_PLAIN = {
    "→": "->",
    "←": "<-",
    "×": "x",
    "·": "-",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "⋯": "...",
    "│": "|",
    "├": "|",
    "└": "`",
    "─": "-",
    "█": "#",
    "░": ".",
    "▲": "^",
    "▼": "v",
    "‼": "!!",
    "►": ">",
}


def escaped(text: str, *, lines: bool = False) -> str:
    r"""A name as it may be shown: what is not a printable character, such as a terminal's ESC, becomes an escape.

    Names can come from files that others wrote: in a terminal a raw one could move the cursor, set the title or rewrite
    what was printed before, in source code it could begin a new line.

    Args:
        text: the name, or a text with names in it.
        lines: keep line breaks (``\n``).

    >>> from tensorgrad.words import escaped
    >>> print(escaped("\x1b[31mW\n"))
    \x1b[31mW\n
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or (lines and c == "\n") else repr(c)[1:-1] for c in text)


def printable(text: str, stream: Any = None) -> str:
    """The text of one or several lines as a stream, by default ``sys.stdout``, may get it.

    Plain characters stand in for those that the stream cannot encode, and escapes for those that are not printable.

    >>> import io
    >>> from tensorgrad.words import printable
    >>> printable("64→32", io.TextIOWrapper(io.BytesIO(), "ascii"))
    '64->32'
    """
    text = escaped(text, lines=True)
    encoding = getattr(sys.stdout if stream is None else stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_encodable(character, encoding) for character in text)
    return text


def _encodable(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return _PLAIN.get(character, character.encode("ascii", "backslashreplace").decode())
    return character


def explain_keywords(namespace: Any) -> None:
    """Let the functions of a module or class suggest their own parameter for one that another library has.

    This costs 0.1 us per call, so only functions with a parameter that other libraries name differently are changed.
    """
    for name, function in list(vars(namespace).items()):
        if inspect.isfunction(function) and not name.startswith("_"):
            code = function.__code__
            if _OURS.intersection(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]):
                setattr(namespace, name, _explained(function))


_OURS = set(KEYWORDS.values())


def _explained(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            at = error.__traceback__
            if at is None or at.tb_next is not None:  # raised inside the function, not by calling it
                raise
            kinds = inspect.signature(function).parameters.values()
            takes = [p.name for p in kinds if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name != "self"]
            for name in kwargs:
                if name not in takes:
                    raise TypeError(f"{function.__name__} has no parameter {name}=; {_instead(name, takes)}") from None
            raise

    return call


def _instead(name: str, takes: list[str]) -> str:
    ours = KEYWORDS.get(name)
    if ours is not None and (ours in takes or not ours.isidentifier()):
        return f"write {ours}=" if ours in takes else f"write {ours}"
    near = _nearest(name, takes)
    return f"did you mean {near}=?" if near else f"it takes {', '.join(f'{t}=' for t in takes)}"


def _nearest(name: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # imported only when an error is shown

    lower = {word.lower(): word for word in known}
    near = get_close_matches(name.lower(), lower, 1, 0.7)
    return lower[near[0]] if near else None


__dir__ = public_names(globals())
