"""Safety-aware vision-language models: train them, measure them, search with them.

    import hyperaware as ha

    model = ha.load("world")
    points = model.encode_text(["a rabbit in the snow"])

Importing this package imports nothing heavy: torch and the rest come with the first name that needs them.
"""

import importlib
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperaware.models.pretrained import load as load

__all__ = [
    "__version__",
    "calibrate",
    "comparison",
    "data",
    "demo",
    "distributed",
    "editing",
    "errors",
    "evaluation",
    "explain",
    "export",
    "files",
    "geometry",
    "index",
    "load",
    "losses",
    "media",
    "methods",
    "metrics",
    "models",
    "moderate",
    "moderation",
    "options",
    "recipes",
    "records",
    "search",
    "server",
    "training",
    "traverse",
    "world",
]


def __getattr__(name: str) -> Any:
    """`load`, `__version__` and the modules of the package, imported when they are first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'hyperaware' has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("hyperaware")
    elif name == "load":
        value = importlib.import_module("hyperaware.models.pretrained").load
    else:
        value = _whole(f"hyperaware.{name}")
    globals()[name] = value
    return value


def _whole(name: str) -> types.ModuleType:
    """A module; of a package all modules, so that `ha.moderation.bounds` is there without another import."""
    import pkgutil

    module = importlib.import_module(name)
    for part in pkgutil.iter_modules(getattr(module, "__path__", ())):
        importlib.import_module(f"{name}.{part.name}")
    return module


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
