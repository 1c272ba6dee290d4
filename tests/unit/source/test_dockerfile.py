"""A Dockerfile's text says what its build can see. A source that is missed would leave an image stale."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex_ops.source.dockerfile import scan
from cortex_ops.stack.load import load_stack

ROOT = Path(__file__).resolve().parents[3]


def test_copy_add_and_bind_mounts_are_seen_and_stages_and_here_documents_are_not() -> None:
    text = (
        "ARG V=1\nFROM node:$V AS deps\n# COPY not this\nCOPY --chown=1 a.json \\\n  b/ ./\n"
        'COPY --from=deps /x /y\nCOPY ["c d", "/"]\nRUN --mount=type=bind,source=e,target=/e true\n'
        "RUN --mount=type=secret,id=s --mount=type=cache,target=/c true\nADD https://example.org/x /x\n"
        "COPY <<EOF /f\nCOPY nor this\nEOF\nFROM deps\nCOPY --from=alpine:3 /z /z\n"
    )
    seen = scan(text)
    assert seen.sources == ("a.json", "b", "c d", "e")
    assert seen.bases == (("node:1", 2), ("alpine:3", 15))


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("COPY\ta\t/\n", ("a",)),
        ("copy a /\n", ("a",)),
        ("COPY ../a /\n", ("a",)),
        ("COPY /a/./b/ /\n", ("a/b",)),
        ("COPY . /\n", (".",)),
        ("ARG D\nCOPY $D ./\n", (".",)),
        ("COPY a\\ b /\n", (".", "b")),
        ("COPY --parents a/**/b /\n", (".",)),
        ("ONBUILD COPY a /\n", ("a",)),
        ("RUN --mount=target=/src true\n", (".",)),
        ('RUN --mount="type=bind,source=a,target=/a" true\n', ("a",)),
        ("RUN echo $((1<<2))\nCOPY b /\n", ("b",)),
        ('RUN echo "a <<EOF b"\nCOPY b /\nRUN cat <<EOF\nEOF\n', ("b",)),
        ("RUN cat <<-'A' <<B\n\tA\nCOPY x /\nB\nCOPY b /\n", ("b",)),
        ("RUN cat <<EOF\nCOPY b /\n", ("b",)),  # it never ends: nothing is hidden
        ("COPY a \\\n# a comment\n\n  b /\n", ("a", "b")),
        ("COPY a /\r\nCOPY b \\\r\n /\r\n", ("a", "b")),
    ],
)
def test_odd_spellings_hide_nothing(text: str, sources: tuple[str, ...]) -> None:
    assert scan("FROM x\n" + text).sources == sources


def test_the_escape_directive_is_followed_and_a_foreign_syntax_sees_everything() -> None:
    assert scan("# escape=`\nFROM x\nCOPY a `\n b /\n").sources == ("a", "b")
    assert scan("# syntax=docker/dockerfile:1\nFROM x\nCOPY a /\n").sources == ("a",)
    assert scan("# syntax=example.org/other\nFROM x\n").sources == (".",)


def test_bases_follow_arguments_and_stage_names_have_no_case() -> None:
    text = (
        "ARG V=1\nARG B=node:${V:-2}\nFROM --platform=$BUILDPLATFORM ${B} AS Deps\nFROM deps\nCOPY --from=DEPS /a /\n"
    )
    assert scan(text).bases == (("node:1", 3),)
    assert scan(text, {"V": "3"}).bases == (("node:3", 3),)
    assert scan(text, {"B": "other"}).bases == (("other", 3),)
    assert scan("FROM x-${TARGETARCH}\nFROM scratch\n").bases == ()


def test_the_stack_file_names_exactly_the_libraries_that_each_dockerfile_copies() -> None:
    stack = load_stack(ROOT / "deploy" / "stack.yaml")
    mono = ROOT / "examples" / "cortex-os"
    for name, service in stack.services.items():
        sources = scan((mono / service.build.dockerfile).read_text()).sources
        copied = {lib for lib, model in stack.libraries.items() if model.path in sources}
        assert set(service.bundles) == copied, name
