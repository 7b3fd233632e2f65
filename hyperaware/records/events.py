"""What each event of the audit log holds: ids, hashes, numbers and short sentences, never the content."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hyperaware.errors import RecordError

__all__ = ["CONTENT", "EVENTS", "LONGEST_SENTENCE", "Event", "Kind", "checked"]

LONGEST_SENTENCE = 2000
"""Characters of one text: a reason or a message fits, most content does not."""
LONGEST_ID = 200
DEEPEST = 4

CONTENT = frozenset({
    "body", "caption", "captions", "content", "data", "image", "images", "input", "picture", "pixels",
    "prompt", "prompts", "query", "text", "texts",
})  # fmt: skip
"""Names of fields that would hold content: no event has them. Deeper down they may name a number."""


class Kind(NamedTuple):
    """What a value must be, in words and as a test."""

    expected: str
    holds: Callable[[Any], bool]


class Event(NamedTuple):
    """The fields that an event must have, and whether it may have others."""

    fields: Mapping[str, Kind]
    more: bool = False


def _matches(pattern: str) -> Callable[[Any], bool]:
    fits = re.compile(pattern).fullmatch
    return lambda value: isinstance(value, str) and fits(value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool))


def _is_sentence(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= LONGEST_SENTENCE


def _or_null(kind: Kind) -> Kind:
    return Kind(f"{kind.expected}, or None", lambda value: value is None or kind.holds(value))


_WORD = Kind('a word such as "block"', _matches(r"[a-z][a-z0-9_-]{0,63}"))
_ID = Kind(f"an id of 1 to {LONGEST_ID} printable characters without spaces", _matches(r"[!-~]{1,200}"))
_NAME = Kind("a name of 1 to 200 characters", lambda value: _is_sentence(value) and len(value) <= LONGEST_ID)
_SENTENCE = Kind(f"a text of 1 to {LONGEST_SENTENCE} characters", _is_sentence)
_DIGEST = Kind("a SHA-256 in 64 lower-case hexadecimal digits", _matches(r"[0-9a-f]{64}"))
_NUMBER = Kind("a number", _is_number)
_COUNT = Kind("a whole number from 1 on", lambda value: _is_number(value) and value == int(value) >= 1)
_SCORES = Kind(
    "a mapping of names to numbers",
    lambda value: isinstance(value, Mapping) and all(map(_is_number, value.values())),
)
_TRUE = Kind("True: a person's decision is a `review`", lambda value: value is True)
_FALSE = Kind("False: a machine's decision is a `decision`", lambda value: value is False)
_VERDICT = Kind('"uphold" or "overturn"', lambda value: value in ("uphold", "overturn"))

EVENTS: dict[str, Event] = {
    "decision": Event(
        {
            "request_id": _ID,
            "modality": _WORD,
            "content_sha256": _DIGEST,
            "item_id": _or_null(_ID),
            "score": _or_null(_NUMBER),
            "bound": _or_null(_NUMBER),
            "probability": _or_null(_NUMBER),
            "categories": _SCORES,
            "role": _NAME,
            "action": _WORD,
            "shadow": _or_null(_WORD),
            "reason": _SENTENCE,
            "message": _or_null(_SENTENCE),
            "policy_version": _NAME,
            "model_fingerprint": _ID,
            "automated": _TRUE,
        }
    ),
    "review_opened": Event(
        {
            "review_id": _ID,
            "request_id": _ID,
            "revision": _COUNT,
            "modality": _WORD,
            "content_sha256": _DIGEST,
            "item_id": _or_null(_ID),
            "score": _or_null(_NUMBER),
            "categories": _SCORES,
            "action": _WORD,
            "reason": _SENTENCE,
            "priority": _NUMBER,
        }
    ),
    "review_leased": Event({"review_id": _ID, "request_id": _ID, "revision": _COUNT, "reviewer": _ID}),
    "review": Event(
        {
            "review_id": _ID,
            "request_id": _ID,
            "revision": _COUNT,
            "decision": _VERDICT,
            "reason": _SENTENCE,
            "reviewer": _ID,
            "automated": _FALSE,
        }
    ),
    "appeal": Event({"review_id": _ID, "request_id": _ID, "revision": _COUNT, "reason": _SENTENCE}),
    "policy_changed": Event({"policy_version": _NAME, "previous": _or_null(_NAME)}, more=True),
    "model_failed": Event({"reason": _SENTENCE}, more=True),
    "recovered": Event({}, more=True),
}
"""The known events.

`shadow` is the action that a policy on trial would have taken. `revision` counts the changes of a case: if
two records of a case have the same one, a process was killed between log and queue, and the later counts.
"""


def checked(event: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` as they are written: plain values, sorted by name at every depth when they become a line.

    An event that is not in `EVENTS` may have any fields.

    Raises:
        RecordError: "refused": a field is missing, unknown or of another kind; a name of content; a number
            that is not finite; a text that is too long. It names event and field, never the value of a text.
    """
    if not _WORD.holds(event):
        raise _refusal(f"the event {event!r:.80} is not {_WORD.expected}")
    known = EVENTS.get(event, Event({}, more=True))
    plain = {}
    for name, value in fields.items():
        if name not in known.fields and name.lower() in CONTENT:
            raise _content(event, name)
        plain[name] = _plain(value, event, name, DEEPEST)
        if name not in known.fields and not known.more:
            raise _refusal(f"{event}: unknown field {name!r}; it has {', '.join(known.fields)}")
    for name, kind in known.fields.items():
        if name not in plain:
            raise _refusal(f"{event}: the field {name!r} is missing, expected {kind.expected}")
        if not kind.holds(plain[name]):
            raise _refusal(f"{event}: {name} is {_shown(plain[name])}, expected {kind.expected}")
    if event == "decision" and (plain["score"] is None) != (plain["bound"] is None):
        raise _refusal("decision: one of score and bound is None, expected both or neither")
    return plain


def _plain(value: Any, event: str, name: str, depth: int) -> Any:
    """The value in JSON's own types."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _refusal(f"{event}: {name} is {value}, expected a finite number")
        return float(value)
    if isinstance(value, str):
        if len(value) > LONGEST_SENTENCE:
            raise _refusal(
                f"{event}: {name} has {len(value)} characters, expected at most {LONGEST_SENTENCE}"
            )
        if value.lstrip()[:5].lower() == "data:":
            raise _content(event, name)
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    if depth and isinstance(value, list | tuple):
        return [_plain(each, event, name, depth - 1) for each in value]
    if depth and isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str) or len(key) > LONGEST_ID:
                raise _refusal(
                    f"{event}: {name} has a key {_shown(key)}, expected a name of at most {LONGEST_ID}"
                )
            if key.lower() in CONTENT and not _is_number(each):
                raise _content(event, f"{name}.{key}")
        return {key: _plain(each, event, f"{name}.{key}", depth - 1) for key, each in value.items()}
    raise _refusal(
        f"{event}: {name} is {_shown(value)}, expected None, a bool, a text, a number (numpy and torch: "
        f"float(x)), or lists and mappings of them at most {DEEPEST} deep"
    )


def _shown(value: Any) -> str:
    """A value in an error message, which may end up in a log: of a text only its length."""
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    return repr(value) if value is None or isinstance(value, int | float) else f"a {type(value).__name__}"


def _content(event: str, name: str) -> RecordError:
    return _refusal(f"{event}: {name} would hold content; the log has hashes only, see content_sha256")


def _refusal(problem: str) -> RecordError:
    return RecordError(f"{problem}. Nothing was recorded.", reason="refused")
