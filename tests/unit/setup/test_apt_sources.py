"""Where a machine takes Debian from, read from its own apt sources in either format."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.setup.debian import entries, mirror, sources
from deploy.setup.shell import SetupError

VENDOR = "deb [arch=amd64 signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.invalid/repo bookworm stable\n"


def apt(folder: Path, one_line: str = "", stanza: str = "") -> Path:
    (folder / "sources.list.d").mkdir(parents=True)
    (folder / "sources.list").write_text(one_line)
    (folder / "sources.list.d" / "debian.sources").write_text(stanza)
    return folder


def test_both_formats_are_read_and_a_vendor_s_repository_is_no_mirror(tmp_path: Path) -> None:
    stanza = "Types: deb\nURIs: http://mirror.invalid/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
    assert mirror(apt(tmp_path / "a", VENDOR, stanza)).address == "http://mirror.invalid/debian"
    line = (
        "# comment\ndeb-src http://no.invalid/debian bookworm main\ndeb http://old.invalid/x bookworm main contrib\n"
    )
    assert mirror(apt(tmp_path / "b", VENDOR + line)).address == "http://old.invalid/x"


def test_a_disabled_stanza_does_not_count() -> None:
    text = "Types: deb\nEnabled: no\nURIs: http://off.invalid/debian\nSuites: bookworm\nComponents: main\n"
    assert sources(text) == []


def test_the_key_of_the_machine_s_own_entry_is_kept() -> None:
    text = "Types: deb\nURIs: http://a.invalid/d\nSuites: bookworm\nComponents: main\nSigned-By: /etc/own.gpg\n"
    assert [s.signed_by for s in sources(text)] == ["/etc/own.gpg"]
    (line,) = sources("deb [ signed-by=/etc/own.gpg ] http://a.invalid/d bookworm main # ours\n")
    assert line.signed_by == "/etc/own.gpg" and line.components == ("main",)


def test_a_new_debian_takes_updates_and_fixes_from_where_the_machine_does(tmp_path: Path) -> None:
    lines = (
        "deb http://m.invalid/debian bookworm main\n"
        "deb http://s.invalid/debian-security bookworm-security main contrib\n"
    )
    assert entries("bookworm", apt(tmp_path / "a", lines + VENDOR)).splitlines() == [
        "deb http://m.invalid/debian bookworm main",
        "deb http://s.invalid/debian-security bookworm-security main",
    ]
    newer = "deb http://m.invalid/debian trixie main\n"
    assert entries("bookworm", apt(tmp_path / "b", newer)) == "deb http://m.invalid/debian bookworm main\n"


def test_no_mirror_at_all_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="name no Debian mirror"):
        mirror(apt(tmp_path / "a", VENDOR))
