"""The index: items with their vectors and scores, searched under a limit that is part of the query.

`STORES` names the stores. `tests/conformance/test_stores.py` judges whatever stands in the table.
"""

__all__ = ["STORES"]

STORES = {
    "sqlite": "hyperaware.index.sqlite:SQLiteStore",
}
