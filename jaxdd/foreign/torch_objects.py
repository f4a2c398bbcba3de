"""The objects in PyTorch's pickles that are rebuilt, each argument checked."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdd.errors import InputError
from jaxdd.foreign.pickles import Placeholder, numpy_globals
from jaxdd.foreign.plain import key

__all__ = ["TENSORS", "item_type", "torch_globals"]

Name = tuple[str, str]

_STORAGES: dict[str, Any] = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "ComplexFloatStorage": np.complex64,
    "ComplexDoubleStorage": np.complex128,
    "UntypedStorage": np.uint8,
}
_TYPES: dict[str, Any] = {
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "float8_e4m3fn": jnp.float8_e4m3fn,
    "float8_e5m2": jnp.float8_e5m2,
}


def item_type(kind: Any) -> np.dtype:
    """The type of a storage's items.

    Raises:
      InputError: a kind of storage that is not known.
    """
    known = isinstance(kind, Placeholder) and kind.module in ("torch", "torch.storage")
    if not known or kind.name not in _STORAGES:
        raise InputError(f"it holds a storage of kind {kind}, which is not known")
    return np.dtype(_STORAGES[kind.name])


def torch_globals() -> Mapping[Name, Callable[..., Any]]:
    """What checkpoints may call, for `pickles.load`: tensors and harmless containers.

    Namespaces and attribute dicts become dicts, paths and devices text.
    """
    return {**numpy_globals(), **TENSORS, **_CONTAINERS, **_TEXTS}


def _tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, *about: Any
) -> np.ndarray:
    """A view of a storage: (requires_grad, hooks, metadata) follow."""
    _check_view(storage, offset, shape, stride)
    if any(type(part) is dict and any(part.values()) for part in about[2:]):
        raise InputError("it holds a conjugated or negated view; save its values")
    size = storage.itemsize
    strides = [step * size for step in stride]
    start = storage[offset:] if math.prod(shape) else storage[:0]
    return np.lib.stride_tricks.as_strided(start, shape, strides, writeable=False)


def _check_view(storage: Any, offset: Any, shape: Any, stride: Any) -> None:
    """A view must lie inside of its storage and not be larger than it."""
    whole = [offset, *shape, *stride]
    if type(storage) is not np.ndarray or storage.ndim != 1:
        raise TypeError("a tensor without a storage")
    if not storage.flags.c_contiguous:  # a view of a view could leave its memory
        raise TypeError("a tensor in place of a storage")
    if len(shape) != len(stride) or any(type(n) is not int or n < 0 for n in whole):
        raise InputError(f"it holds a tensor of shape {shape}, stride {stride}")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    count = math.prod(shape)
    if count and (last >= storage.size or count > storage.size):
        raise InputError(
            f"it holds a tensor of shape {shape}, offset {offset} and stride {stride} "
            f"in a storage of only {storage.size} items"
        )


def _typed_tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    gradient: Any,
    hooks: Any,
    kind: Any,
    *about: Any,
) -> np.ndarray:
    """A view of bytes, for the types that have no storage of their own."""
    if not isinstance(kind, Placeholder) or kind.name not in _TYPES:
        raise InputError(f"it holds a tensor of type {kind}, which is not known")
    typed = storage.view(_TYPES[kind.name])
    return _tensor(typed, offset, shape, stride, gradient, hooks, *about)


def _same(value: Any, *_: Any) -> np.ndarray:
    """A parameter is its tensor."""
    if type(value) is not np.ndarray:
        raise TypeError("a parameter without its tensor")
    return value


def _by_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor with attributes, which are left out."""
    del kind, state
    known = (function.module, function.name)
    if known not in TENSORS:
        raise InputError(f"it rebuilds a tensor by {function}, which is not done")
    return TENSORS[known](*arguments)


def _mapping(pairs: Any = ()) -> dict:
    """A dict, from nothing, a dict or pairs."""
    items = pairs.items() if type(pairs) is dict else pairs
    return {key(name): value for name, value in items}


def _counts(factory: Any = None, pairs: Any = ()) -> dict:
    """A default dict; what it would fill in is left out."""
    del factory
    return _mapping(pairs)


def _sizes(numbers: Any = ()) -> tuple[int, ...]:
    return tuple(map(int, numbers))


def _path(*parts: Any) -> str:
    return "/".join(map(_text, parts)).replace("//", "/")


def _text(value: Any = "", *_: Any) -> str:
    if type(value) is not str:
        raise TypeError("text was expected")
    return value


TENSORS: dict[Name, Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    ("torch._utils", "_rebuild_parameter"): _same,
    ("torch._utils", "_rebuild_parameter_with_state"): _same,
    ("torch._tensor", "_rebuild_from_type_v2"): _by_type,
}
_ATTRIBUTE_DICTS = (
    "pytorch_lightning.utilities.parsing",
    "lightning_fabric.utilities.data",
    "lightning.fabric.utilities.data",
    "lightning.pytorch.utilities.parsing",
)
_CONTAINERS: dict[Name, Callable[..., Any]] = {
    ("collections", "OrderedDict"): _mapping,
    ("collections", "Counter"): _mapping,
    ("collections", "defaultdict"): _counts,
    ("argparse", "Namespace"): _mapping,
    ("torch", "Size"): _sizes,
    **{(module, "AttributeDict"): _mapping for module in _ATTRIBUTE_DICTS},
}
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")
_TEXTS: dict[Name, Callable[..., Any]] = {
    ("torch", "device"): _text,
    ("torch.serialization", "_get_layout"): _text,
    **{(module, n): _path for module in ("pathlib", "pathlib._local") for n in _PATHS},
}
