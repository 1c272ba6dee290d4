"""Secrets as a type that prints as redacted, and a filter that removes known values from text.

Values are remembered for the life of the process so that output of programs we run can be cleaned before
it reaches a log; they are never written anywhere from here.
"""

from __future__ import annotations

import base64
import re
import threading
from urllib.parse import quote

REDACTED = "«redacted»"
_MIN = 6  # shorter values would blank out ordinary words

_lock = threading.Lock()
_values: set[bytes] = set()
_pattern: re.Pattern[str] | None = None


class Secret:
    """A value that must not be printed. `reveal()` is the only way to it, and is easy to search for."""

    __slots__ = ("_value", "name")

    def __init__(self, value: bytes | str, name: str = "secret") -> None:
        self._value = value.encode() if isinstance(value, str) else value
        self.name = name
        remember(self._value)

    def reveal(self) -> bytes:
        return self._value

    def text(self) -> str:
        return self._value.decode()

    def __repr__(self) -> str:
        return f"<{self.name}: {REDACTED}>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not pickled")


def remember(value: bytes | str) -> None:
    """Have `redact` remove this value (also base64- and percent-encoded) from now on."""
    global _pattern
    raw = value.encode() if isinstance(value, str) else value
    raw = raw.strip()
    if len(raw) < _MIN:
        return
    with _lock:
        if raw in _values:
            return
        _values.add(raw)
        forms: set[str] = set()
        for one in _values:
            forms |= encodings(one)
        _pattern = re.compile("|".join(re.escape(f) for f in sorted(forms, key=len, reverse=True)))


def encodings(raw: bytes) -> set[str]:
    """The forms in which a value could leak: plain, base64 (any alignment), URL-encoded, JSON-escaped."""
    forms: set[str] = set()
    try:
        text = raw.decode()
        forms |= {text, quote(text, safe=""), quote(text)}
        forms |= {text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")}
        if "\n" in text:  # a multi-line secret leaks line by line
            forms |= {line for line in text.splitlines() if len(line) >= 16 and not line.startswith("-----")}
    except UnicodeDecodeError:
        pass
    for shift in range(3):
        # Encoded inside a longer text a value shows only its inner, alignment-dependent characters.
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        start = (0, 2, 3)[shift]
        end = len(encoded) - (1 if (len(raw) + shift) % 3 else 0)
        if end - start >= 8:
            forms |= {encoded[start:end], encoded[start:end].replace("+", "-").replace("/", "_")}
    return {f for f in forms if len(f) >= _MIN}


def redact(text: str) -> str:
    """The text with every remembered value replaced."""
    return _pattern.sub(REDACTED, text) if _pattern is not None else text
