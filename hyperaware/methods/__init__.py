"""Methods: one paper, one file. A method says which loss terms a batch has and what each weighs.

`METHODS` names them; `module:attribute` names one of the user's own.
"""

from typing import Any

from hyperaware.options import resolve

__all__ = ["METHODS", "method_class"]

METHODS = {
    "clip": "hyperaware.methods.clip:CLIP",
    "hysac": "hyperaware.methods.hysac:HySAC",
    "euclidean-hysac": "hyperaware.methods.euclidean_hysac:EuclideanHySAC",
    "safe-clip": "hyperaware.methods.safe_clip:SafeCLIP",
    "safer-clip": "hyperaware.methods.safer_clip:SafeRCLIP",
    "shield-clip": "hyperaware.methods.shield_clip:ShieldCLIP",
    "meru": "hyperaware.methods.meru:MERU",
    "hycoclip": "hyperaware.methods.hycoclip:HyCoCLIP",
}


def method_class(name: str) -> Any:
    """The settings class of a method: a frozen dataclass with `prepare`, `terms` and `weight`.

    Raises:
        ConfigError: no such method.
    """
    return resolve("method", name, METHODS)
