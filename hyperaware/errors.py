"""The exceptions of hyperaware, in one tree.

    HyperawareError
    ├── ConfigError          a setting, name or file of settings is wrong
    ├── DataError            a dataset or one of its rows cannot be used
    ├── MediaError           one picture cannot be decoded; `.reason` is a short stable word
    ├── ModelError           a model folder is incomplete, damaged or of another kind
    ├── TrainingError        training cannot go on (a non-finite loss, say)
    ├── StoreError           an index is damaged, or was built by another model
    ├── RecordError          the audit log, the reviews or the keys refuse; `.reason` is a short stable word
    └── SafetyError          a verdict was asked for where a bound, a score or a policy is missing

Every message says what was given, what was expected and what to do. The CLI turns each into exit
code 1 (2 for `ConfigError`), without a traceback.
"""

__all__ = [
    "ConfigError",
    "DataError",
    "HyperawareError",
    "MediaError",
    "ModelError",
    "RecordError",
    "SafetyError",
    "StoreError",
    "TrainingError",
]


class HyperawareError(Exception):
    """Anything that hyperaware raises on purpose."""


class ConfigError(HyperawareError):
    """A setting, a name or a file of settings is wrong."""


class DataError(HyperawareError):
    """A dataset, or one of its rows, cannot be used."""


class MediaError(HyperawareError):
    """One picture cannot be decoded. `reason` is a short stable word for counters and reports."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ModelError(HyperawareError):
    """A model folder is incomplete, damaged, or of another kind."""


class TrainingError(HyperawareError):
    """Training cannot go on."""


class StoreError(HyperawareError):
    """An index is damaged, or was built by another model."""


class RecordError(HyperawareError):
    """The audit log, the reviews or the keys refuse; `hyperaware.records` lists the words of `reason`."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class SafetyError(HyperawareError):
    """A verdict was asked for where a bound, a score or a policy is missing. Nothing is let through."""
