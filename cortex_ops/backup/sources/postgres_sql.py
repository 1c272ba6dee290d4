"""What is asked of Postgres, and what its dumps look like as text. Pure; nothing here runs.

Checksums do not depend on row order, and session settings that change how values print are fixed first.
"""

from __future__ import annotations

import re

from cortex_ops.backup.manifest import Facts, Item, Range
from cortex_ops.kernel.errors import OpsError

ALGORITHM = "postgres: sum of hashtextextended(row as text, 0)"
DUMP_TRAILER = b"-- PostgreSQL database dump complete"
GLOBALS_TRAILER = b"-- PostgreSQL database cluster dump complete"

# Unknown names are ignored, so that one list serves all server versions.
_SETTINGS = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "lc_monetary": "C",
    "xmlbinary": "base64",
    "xmloption": "content",
    "client_encoding": "UTF8",
    "search_path": "",
    "row_security": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
}

# Run first: afterwards the search path is empty, so that every plain name below is the system's own.
FIX_SETTINGS = "SELECT pg_catalog.set_config(s.name, v.value, false) FROM (VALUES {}) v(name, value) {}".format(
    ", ".join(f"('{name}', '{value}')" for name, value in _SETTINGS.items()),
    "JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = pg_catalog.lower(v.name)",
)

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
SNAPSHOT = "SELECT to_json(pg_export_snapshot())"

SERVER = """SELECT json_build_object(
 'version', current_setting('server_version'),
 'bootstrap', (SELECT rolname FROM pg_roles WHERE oid = 10),
 'preload', current_setting('shared_preload_libraries'))"""

_OURS = """n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT EXISTS (SELECT FROM pg_depend d
 WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""

TABLES = f"""SELECT to_json(format('%I.%I', n.nspname, c.relname))
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {_OURS} ORDER BY n.nspname, c.relname"""

# ROW(x.*) is the row whatever its columns are called; a bare alias would mean a column of that name first.
TABLE = """SELECT json_build_array(count(*),
 coalesce(sum(hashtextextended(CAST(ROW(x.*) AS text) COLLATE "C", 0)), 0)::text) FROM ONLY {} AS x"""

LARGE_OBJECTS = """SELECT json_build_array(count(*),
 coalesce(sum(hashtextextended(x.loid || ':' || x.pageno || ':' || encode(x.data, 'hex'), 0)), 0)::text)
 FROM pg_largeobject x"""

SEQUENCES = f"""SELECT json_build_array(format('%I.%I', n.nspname, c.relname), pg_sequence_last_value(c.oid))
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid
 WHERE NOT s.seqcycle AND c.relpersistence <> 't' AND {_OURS} ORDER BY n.nspname, c.relname"""

NAMES = {
    "extensions": "SELECT to_json(extname || ' ' || extversion) FROM pg_extension ORDER BY extname",
    "roles": "SELECT to_json(rolname) FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname",
    # Names only: values may be secret, and a manifest is not encrypted.
    "settings": """SELECT to_json(coalesce('role ' || r.rolname || ' ', '') ||
 coalesce('database ' || d.datname || ' ', '') || split_part(one, '=', 1))
 FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
 LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) one
 WHERE d.datname IS NULL OR d.datname = current_database()""",
}

OTHER_DATABASES = """SELECT to_json(datname) FROM pg_database
 WHERE NOT datistemplate AND datname NOT IN ('postgres', current_database()) ORDER BY datname"""

# pg_dump leaves rows of extension-owned tables out, unless the extension marked the table as configuration.
EXTENSION_TABLES = """SELECT json_build_array(e.extname, format('%I.%I', n.nspname, c.relname))
 FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
 JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE d.deptype = 'e' AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass
 AND c.relkind = 'r' AND NOT (c.oid = ANY (coalesce(e.extconfig, '{}'))) ORDER BY c.oid"""

ANY_ROW = "SELECT to_json(EXISTS (SELECT FROM ONLY {}))"


def major(version: str) -> int:
    """15 of `pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)`, of `15.20` and of `18beta1`."""
    match = re.search(r"(?:PostgreSQL\) |^)(\d+)", version.strip())
    if match is None:
        raise OpsError(f"{version.strip()[:80]!r} is no version of Postgres")
    return int(match[1])


def check_majors(client: str, server: str) -> None:
    """Both ways are wrong: an older client refuses or misses things, a newer one writes what cannot be restored."""
    if major(client) != major(server):
        kind = "older" if major(client) < major(server) else "newer"
        raise OpsError(
            f"pg_dump is {kind} ({major(client)}) than the server ({major(server)}): its dump cannot be trusted",
            remedy="run the server from the image that its version belongs to",
        )


_ENTRY = re.compile(rb"^-- (?:Data for )?Name: (?P<name>.*?); Type: (?P<type>[^;]*);", re.M)
_NOTES = (b"COMMENT", b"SECURITY LABEL", b"ACL")
_CONNECT = re.compile(rb"^\\connect .*\n", re.M)


def split_head(data: bytes) -> tuple[bytes, bytes] | None:
    """Part a dump made with `--create` after its last `\\connect`: statements about the database, and the rest.

    None: not enough was read to tell. The first part runs outside a transaction in another database, the second
    in one transaction in the new database, where neither may hold a `\\connect`.
    """
    for entry in _ENTRY.finditer(data):
        about = entry["type"] in _NOTES and entry["name"].startswith(b"DATABASE ")
        if not about and not entry["type"].startswith(b"DATABASE"):
            return _cut(data, entry.start())
    return None


def split_whole(data: bytes) -> tuple[bytes, bytes]:
    """The same for a dump that was read to its end (of an empty database, say)."""
    return split_head(data) or _cut(data, len(data))


def _cut(data: bytes, limit: int) -> tuple[bytes, bytes]:
    connects = list(_CONNECT.finditer(data, 0, limit))
    if not connects:
        raise OpsError("the dump does not connect to the database it creates: its form is unknown")
    last = connects[-1]
    head = _CONNECT.sub(b"", data[: last.start()])
    return head, data[last.end() :]


_CREATE_ROLE = re.compile(r'^CREATE ROLE (?P<name>"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*);$', re.M)


def tolerate_roles(sql: str) -> str:
    """Globals that can run where some of the roles exist: at least the one that the server was created with."""

    def guarded(match: re.Match[str]) -> str:
        name = match["name"]
        plain = name[1:-1].replace('""', '"') if name.startswith('"') else name
        literal = plain.replace("'", "''")
        return (
            f"DO $cortex_ops$BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{literal}') "
            f"THEN CREATE ROLE {name}; END IF; END$cortex_ops$;"
        )

    return _CREATE_ROLE.sub(guarded, sql)


def with_later(before: list[list[object]], after: list[list[object]]) -> tuple[Range, ...]:
    """Sequences move while they are dumped: the values they had before and after bound what a copy may hold."""
    later = {str(name): value for name, value in after}
    ranges = []
    for name, value in before:
        known = [v for v in (value, later.get(str(name))) if isinstance(v, int)]
        first = value if isinstance(value, int) else None
        ranges.append(
            Range(name=str(name), low=None if first is None else min(known), high=max(known) if known else None)
        )
    return tuple(ranges)


def differences(expected: Facts, found: Facts) -> list[str]:
    """Sentences, most telling first."""
    if expected.algorithm != found.algorithm:
        return [f"checksums are of {expected.algorithm!r}, and this version takes {found.algorithm!r}"]
    out = []
    have = {item.name: item for item in found.items}
    for item in expected.items:
        other = have.pop(item.name, None)
        if other is None:
            out.append(f"table {item.name} is missing")
        elif other.rows != item.rows:
            out.append(f"table {item.name} has {other.rows} rows, and had {item.rows}")
        elif other.checksum != item.checksum:
            out.append(f"table {item.name} has its {item.rows} rows, but their content differs")
    out += [f"table {name} was not there" for name in have]
    values = {one.name: one.low for one in found.ranges}
    for one in expected.ranges:
        if one.name not in values:
            out.append(f"sequence {one.name} is missing")
        elif not _within(values[one.name], one):
            out.append(f"sequence {one.name} stands at {values[one.name]}, and was between {one.low} and {one.high}")
    for kind, names in expected.names.items():
        gone = sorted(set(names) - set(found.names.get(kind, ())))
        out += [f"{kind}: {name} is missing" for name in gone]
    return out


def _within(value: int | None, one: Range) -> bool:
    if value is None:
        return one.low is None
    return one.high is not None and (one.low is None or one.low <= value) and value <= one.high


def item(name: str, row: list[object]) -> Item:
    return Item(name=name, rows=int(str(row[0])), checksum=str(row[1]))
