"""Where a model computes."""

import torch

from hyperaware.errors import ConfigError

__all__ = ["device_of"]


def device_of(name: str | torch.device) -> torch.device:
    """The device called `name`: "cpu", "cuda", "cuda:1"; "auto" is a GPU by CUDA if there is one.

    Raises:
        ConfigError: no such device, or none on this machine.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ConfigError(
            f"the device {name} was asked for; this torch can use {count} GPUs of this machine. "
            "Ask for another device, or install a torch for CUDA."
        )
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"got the device {str(name)!r}, expected auto, cpu, cuda or cuda:1.")
    return device
