"""The index: items with their vectors and scores, searched under a limit that is part of the query.

`STORES` names the stores; `module:attribute` names one of the user's own.
`tests/conformance/test_stores.py` judges whatever stands in the table.
"""

__all__ = ["STORES"]

STORES = {
    "sqlite": "hyperaware.index.sqlite:SQLiteStore",
}
