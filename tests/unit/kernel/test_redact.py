"""A secret shows up nowhere, in whichever encoding it tries."""

from __future__ import annotations

import base64
import json
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.kernel.redact import Secret, redact, remember

VALUE = 'p%ss w"rd/+=ünd\\more'


def test_a_secret_prints_as_redacted_and_cannot_be_pickled() -> None:
    secret = Secret("correct horse battery", "db")
    assert "correct" not in f"{secret!r} {secret} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        quote(VALUE, safe=""),
        quote(VALUE),
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
    ],
)
def test_known_values_are_removed_in_every_form(form: str) -> None:
    remember(VALUE)
    cleaned = redact(f"before {form} after")
    assert form not in cleaned and cleaned.startswith("before ") and cleaned.endswith(" after")


@given(st.binary(min_size=12, max_size=40), st.binary(max_size=7), st.binary(max_size=7))
def test_base64_inside_a_longer_text_is_removed(value: bytes, before: bytes, after: bytes) -> None:
    core = value.strip()
    if len(core) < 12:
        return
    remember(core)
    encoded = base64.b64encode(before + core + after).decode()
    assert len(redact(encoded)) < len(encoded) or "redacted" in redact(encoded)
