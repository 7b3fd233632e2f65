"""A GPU that is not there: its tensors say that they lie on it, and refuse to meet those that do not.

It finds what a machine without a GPU otherwise never shows: a tensor that was left behind. It computes by the
CPU's kernels, so results are those of the CPU; it says nothing of speed, memory or the rounding of a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = ["GPU", "pretended_gpu"]

GPU = torch.device("cuda", 0)
MEETS_ANY = {"aten::index", "aten::index_put", "aten::index_put_", "aten::copy_"}
"""What takes tensors of both devices on a real GPU too."""


@contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """While it lasts, `.to("cuda")` moves tensors to a device on which they only meet each other."""
    with _Moves(), _Computes():
        yield GPU


class _There(Tensor):
    """A tensor on the device; `held` is the tensor on the CPU that it is made of."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "_There":
        there = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype
        )
        there.held = held
        return there

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(held: dict[str, Tensor], *_: Any) -> "_There":
        return _There(held["held"])

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function == Tensor.device.__get__:  # type: ignore[attr-defined]
            return GPU
        if function == Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
            return True
        return torch._C._disabled_torch_function_impl(function, types, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(function, args, kwargs or {})


class _Moves(TorchFunctionMode):
    """What names a device, before torch looks for one."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function is Tensor.cpu:
            return _moved(args[0], torch.device("cpu"))
        if function is Tensor.to:
            return _converted(*args, **kwargs)
        if _is_there(kwargs.get("device")):  # made anew
            return _moved(function(*args, **{**kwargs, "device": "cpu"}), GPU)
        return function(*args, **kwargs)


class _Computes(TorchDispatchMode):
    """Each operation, of tensors on either device."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(function, args, kwargs or {})


def _is_there(device: Any) -> bool:
    return device is not None and torch.device(device).type == GPU.type


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    if isinstance(tensor, _There) == _is_there(device):
        return tensor
    return torch.ops.aten._to_copy(tensor, device=device)


def _converted(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`tensor.to(...)` in its three forms: by device, by dtype, by another tensor."""
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    for each in args:
        if isinstance(each, Tensor):
            device, dtype = each.device, each.dtype
        elif isinstance(each, torch.dtype):
            dtype = each
        elif isinstance(each, str | torch.device):
            device = each
    moved = tensor if device is None else _moved(tensor, torch.device(device))
    return moved if dtype is None else moved.type(dtype)


def _computed(function: Any, args: Any, kwargs: Any) -> Any:
    name, device = function._schema.name, kwargs.get("device")
    given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    there = [each for each in given if isinstance(each, _There)]
    left = [each for each in given if not isinstance(each, _There) and each.dim()]
    moves = name == "aten::_to_copy" and device is not None
    if there and left and not moves and name not in MEETS_ANY:
        shapes = f"{[tuple(each.shape) for each in left]} and {[tuple(each.shape) for each in there]}"
        raise RuntimeError(f"{name}: tensors on the CPU and on the pretended GPU meet: {shapes}.")
    held_args, held_kwargs = tree_map_only(_There, lambda each: each.held, (args, kwargs))
    if _is_there(device):
        held_kwargs["device"] = torch.device("cpu")
    found = function(*held_args, **held_kwargs)
    if moves:
        return _There(found) if _is_there(device) else found
    if not there and not _is_there(device):
        return found
    same = {id(each.held): each for each in there}  # what is changed in place stays the same tensor
    return tree_map_only(Tensor, lambda each: same[id(each)] if id(each) in same else _There(each), found)
