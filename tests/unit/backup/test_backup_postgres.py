"""Dumps as text, versions, and the comparison that decides whether a set is proven. No server runs here."""

from __future__ import annotations

import pytest

from cortex_ops.backup.containers import Box, run_arguments
from cortex_ops.backup.manifest import Facts, Item, Range
from cortex_ops.backup.restore import plan
from cortex_ops.backup.sources import postgres_sql as sql
from cortex_ops.backup.sources import source_of
from cortex_ops.kernel.errors import InputError, OpsError
from tests.support.backup_values import a_manifest, a_record

OLD = b"""--
-- PostgreSQL database dump
--

SET client_encoding = 'UTF8';

--
-- Name: cortex; Type: DATABASE; Schema: -; Owner: cortex
--

CREATE DATABASE cortex WITH TEMPLATE = template0;

\\connect cortex

SET client_encoding = 'UTF8';
"""
PROPERTIES = b"""
--
-- Name: DATABASE cortex; Type: COMMENT; Schema: -; Owner: cortex
--

COMMENT ON DATABASE cortex IS 'it';

--
-- Name: cortex; Type: DATABASE PROPERTIES; Schema: -; Owner: cortex
--

ALTER DATABASE cortex SET work_mem TO '8MB';

\\connect cortex

SET client_encoding = 'UTF8';
"""
TABLE = b"""
--
-- Name: t; Type: TABLE; Schema: public; Owner: cortex
--

CREATE TABLE public.t ();
"""


def _restricted(text: bytes) -> bytes:
    """As servers write it since they guard scripts against injected commands."""
    connect = b"\\unrestrict k1\n\\connect cortex\n\\restrict k1\n"
    return b"\\restrict k1\n" + text.replace(b"\\connect cortex\n", connect) + b"\\unrestrict k1\n"


@pytest.mark.parametrize("form", [lambda text: text, _restricted], ids=["plain", "restricted"])
@pytest.mark.parametrize("middle", [b"", PROPERTIES], ids=["bare", "with properties"])
def test_a_dump_is_parted_after_its_last_connect(form, middle: bytes) -> None:  # type: ignore[no-untyped-def]
    parted = sql.split_head(form(OLD + middle + TABLE))
    assert parted is not None
    head, rest = parted
    assert b"CREATE DATABASE" in head and b"\\connect" not in head
    assert (b"ALTER DATABASE" in head) is bool(middle)
    assert b"CREATE TABLE" in rest and b"\\connect" not in rest and b"CREATE DATABASE" not in rest
    assert rest.lstrip().startswith((b"SET client_encoding", b"\\restrict k1\n")), "the session is set up again"
    for part in parted:
        assert part.count(b"\\restrict") == part.count(b"\\unrestrict")


def test_what_was_not_read_far_enough_is_not_parted() -> None:
    for length in (0, 10, len(OLD), len(OLD + PROPERTIES)):
        assert sql.split_head((OLD + PROPERTIES)[:length]) is None


def test_a_dump_of_an_empty_database_is_parted_at_its_end() -> None:
    head, rest = sql.split_whole(OLD + b"--\n-- PostgreSQL database dump complete\n--\n")
    assert b"CREATE DATABASE" in head
    assert rest.endswith(b"complete\n--\n")


def test_a_connect_inside_the_content_is_content() -> None:
    trap = b"COPY public.t (a) FROM stdin;\n\\connect elsewhere\n\\.\n"
    parted = sql.split_head(OLD + TABLE + trap)
    assert parted is not None and trap in parted[1]


def test_a_dump_of_unknown_form_is_refused() -> None:
    with pytest.raises(OpsError, match="its form is unknown"):
        sql.split_head(TABLE)


def test_roles_that_exist_are_tolerated_whatever_they_are_called() -> None:
    text = 'CREATE ROLE cortex;\nALTER ROLE cortex WITH LOGIN;\nCREATE ROLE "Odd ""Role\'";\n-- CREATE ROLE x;\n'
    lines = sql.tolerate_roles(text).splitlines()
    assert "rolname = 'cortex') THEN CREATE ROLE cortex; END IF" in lines[0]
    assert lines[1] == "ALTER ROLE cortex WITH LOGIN;"
    assert """rolname = 'Odd "Role''') THEN CREATE ROLE "Odd ""Role'"; END IF""" in lines[2]
    assert lines[3] == "-- CREATE ROLE x;"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)", 15),
        ("15.20 (Debian)", 15),
        ("18beta1", 18),
        ("9.6.2", 9),
    ],
)
def test_majors_are_read_off_any_version(text: str, number: int) -> None:
    assert sql.major(text) == number


@pytest.mark.parametrize(("client", "kind"), [("14.9", "older"), ("17.2", "newer")])
def test_a_client_of_another_major_is_refused_both_ways(client: str, kind: str) -> None:
    sql.check_majors("pg_dump (PostgreSQL) 15.1", "15.20")
    with pytest.raises(OpsError, match=rf"pg_dump is {kind} \(\d+\) than the server \(15\)"):
        sql.check_majors(f"pg_dump (PostgreSQL) {client}", "15.20")
    with pytest.raises(OpsError, match="is no version of Postgres"):
        sql.check_majors("", "15.20")


def _facts(**changes: object) -> Facts:
    given: dict[str, object] = {
        "algorithm": sql.ALGORITHM,
        "items": (Item(name="public.a", rows=2, checksum="5"), Item(name="public.b", rows=0, checksum="0")),
        "ranges": (Range(name="public.s", low=3, high=9), Range(name="public.n", low=None, high=None)),
        "names": {"roles": ("app", "cortex")},
    }
    return Facts.model_validate({**given, **changes})


def _at(s: int | None, n: int | None) -> tuple[Range, ...]:
    return (Range(name="public.s", low=s, high=s), Range(name="public.n", low=n, high=n))


@pytest.mark.parametrize("value", [3, 5, 9])
def test_an_equal_copy_has_no_differences_wherever_a_moving_sequence_stands(value: int) -> None:
    assert sql.differences(_facts(), _facts(ranges=_at(value, None))) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"items": (Item(name="public.a", rows=2, checksum="5"),)}, "table public.b is missing"),
        (
            {"items": (*_facts().items, Item(name="public.c", rows=0, checksum="0"))},
            "table public.c was not there",
        ),
        (
            {"items": (Item(name="public.a", rows=1, checksum="5"), _facts().items[1])},
            "table public.a has 1 rows, and had 2",
        ),
        (
            {"items": (Item(name="public.a", rows=2, checksum="6"), _facts().items[1])},
            "table public.a has its 2 rows, but their content differs",
        ),
        ({"ranges": _at(2, None)}, "sequence public.s stands at 2, and was between 3 and 9"),
        ({"ranges": _at(10, None)}, "sequence public.s stands at 10, and was between 3 and 9"),
        ({"ranges": _at(None, None)}, "sequence public.s stands at None, and was between 3 and 9"),
        ({"ranges": _at(3, 1)}, "sequence public.n stands at 1, and was between None and None"),
        ({"ranges": _at(3, None)[:1]}, "sequence public.n is missing"),
        ({"names": {"roles": ("cortex",)}}, "roles: app is missing"),
        ({"algorithm": "crc"}, "checksums are of 'postgres"),
    ],
)
def test_any_difference_is_a_sentence(change: dict[str, object], sentence: str) -> None:
    found = {"ranges": _at(3, None), **change}
    differences = sql.differences(_facts(), _facts(**found))
    assert len(differences) == 1
    assert differences[0].startswith(sentence)


def test_a_sequence_that_moves_while_it_is_dumped_is_bounded_by_what_was_seen() -> None:
    assert sql.with_later([["s", 3]], [["s", 9]]) == (Range(name="s", low=3, high=9),)
    assert sql.with_later([["s", -3]], [["s", -9]]) == (Range(name="s", low=-9, high=-3),)
    assert sql.with_later([["s", None]], [["s", 2]]) == (Range(name="s", low=None, high=2),)
    assert sql.with_later([["s", None]], [["s", None]]) == (Range(name="s", low=None, high=None),)


def test_a_kind_that_cannot_be_backed_up_is_said_before_anything_runs() -> None:
    with pytest.raises(
        InputError, match=r"backup\.stores names nats, a nats store, which this version cannot back up"
    ):
        source_of("nats", "nats")


def test_a_restore_is_planned_in_the_order_that_works() -> None:
    steps = plan(a_manifest(sources=(a_record(),)))
    assert [step.action for step in steps] == ["verify", "roles and database", "data", "compare"]
    assert [key.split(".")[1] for key in steps[1].parts] == ["globals", "database"]
    with pytest.raises(OpsError, match="has no part data of postgres"):
        plan(a_manifest(sources=(a_record(parts=a_record().parts[:2]),)))


def test_a_one_shot_container_is_labelled_hardened_and_never_pulled() -> None:
    box = Box(image="sha256:1", network="n", user="999:999", volumes=("v:/run/secrets:ro",), flags=("--memory", "1m"))
    argv = run_arguments(box, "name", {"org.cortex-ops.run": "r"}, ["sh", "-c", "x"], stdin=True)
    assert argv == [
        *("run", "--rm", "--interactive", "--name", "name", "--pull", "never", "--log-driver", "none"),
        *("--network", "n", "--user", "999:999", "--read-only", "--tmpfs", "/tmp"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--label", "org.cortex-ops.run=r"),
        *("--volume", "v:/run/secrets:ro", "--memory", "1m", "--entrypoint", "sh", "sha256:1", "-c", "x"),
    ]
