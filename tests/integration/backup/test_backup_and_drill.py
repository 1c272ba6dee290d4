"""A real dump of a real server, restored into a real throwaway and compared; and every way a set can be wrong."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_ops.backup import BackupContext, BackupResult, run_backup
from cortex_ops.backup import keys as backup_keys
from cortex_ops.backup.catalog import list_sets
from cortex_ops.backup.drill import run_drill
from cortex_ops.backup.keys import ensure_keys, load_signer, load_trusted
from cortex_ops.backup.manifest import MANIFEST, Manifest, manifest_key, read_manifest, seal
from cortex_ops.kernel.clock import ManualClock
from cortex_ops.kernel.errors import InputError, OpsError, RefusedError
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.settings import Settings
from cortex_ops.store.wrappers import Prefixed, Retrying
from tests.support.engine import docker
from tests.support.postgres import Place, sample_postgres
from tests.support.s3 import a_client, s3_server
from tests.support.tampering import forge, once, plain_of


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with sample_postgres(tmp_path_factory.mktemp("sample")) as found:
        yield found


@pytest.fixture(scope="module")
def ctx(place: Place) -> BackupContext:
    return place.context()


@pytest.fixture(scope="module")
def done(ctx: BackupContext) -> BackupResult:
    return run_backup(ctx)


@pytest.fixture
def new_id() -> str:
    return f"20300101T000000Z-{secrets.token_hex(6)}"


@pytest.fixture(autouse=True)
def nothing_is_left(place: Place) -> Iterator[None]:
    yield
    assert place.helpers() == []
    dangling = docker("volume", "ls", "-q", "--filter", f"label=org.cortex-ops.project={place.prefix}").split()
    assert len(dangling) == 2, "the sample's own two"
    partial = Path(place.settings.store) / ".partial"
    assert not partial.exists() or list(partial.iterdir()) == []


def _manifest(ctx: BackupContext, set_id: str) -> Manifest:
    return read_manifest(ctx.store, ctx.environment, set_id, load_trusted(ctx.settings))[0]


# -- what a set is -----------------------------------------------------------------------------------------------


def test_a_backup_says_what_it_holds(ctx: BackupContext, done: BackupResult) -> None:
    manifest = _manifest(ctx, done.set_id)
    rows = {item.name: item.rows for item in manifest.sources[0].facts.items}
    assert rows == {
        "public.tasks": 500,
        '"Mixed Case".t': 4,
        "public.empty_one": 0,
        "public.no_columns": 0,
        "public.part_1": 2,
        "public.parent": 1,
        "public.child": 1,
        "large objects": 1,
    }
    assert manifest.sources[0].facts.names["roles"] == ("Odd \"Role'", "app", "cortex")
    assert "role app statement_timeout" in manifest.sources[0].facts.names["settings"]
    assert "database cortex work_mem" in manifest.sources[0].facts.names["settings"]
    assert done.rows == 509
    assert manifest.release == 7
    assert manifest.sources[0].image.engine_id == ctx.engine.id
    assert 0 < done.stored_bytes < done.plain_bytes


def test_parts_are_plain_sql_in_the_order_of_a_restore(ctx: BackupContext, done: BackupResult) -> None:
    roles, database, data = (plain_of(ctx, done.set_id, name) for name in ("globals", "database", "data"))
    assert b"CREATE ROLE app" in roles and b"SCRAM-SHA-256" in roles
    assert b"CREATE DATABASE cortex" in database and b"SET work_mem" in database
    assert b"CREATE TABLE public.tasks" in data and b"TABLESPACE" not in data.upper().replace(
        b"DEFAULT_TABLESPACE", b""
    )
    assert b"\\connect" not in database and data.count(b"\n\\connect ") == 1, "only the one inside a function's body"


def test_a_drill_restores_it_and_proves_it(ctx: BackupContext, done: BackupResult) -> None:
    drilled = run_drill(ctx)
    assert drilled.set_id == done.set_id
    assert (drilled.rows, drilled.tables) == (509, 8)
    assert 0 < drilled.recovery_seconds < drilled.seconds
    found = list_sets(ctx.store, "local", load_trusted(ctx.settings))
    assert [(one.set_id, one.status) for one in found] == [(done.set_id, "proven")]
    assert found[0].recovery_seconds == drilled.recovery_seconds


def test_a_drill_can_verify_everything_before_anything_is_restored(ctx: BackupContext, done: BackupResult) -> None:
    assert run_drill(ctx, done.set_id, verify_first=True).proof.endswith(".json")


def test_the_snapshot_is_the_dumps_own_however_much_is_written_meanwhile(place: Place) -> None:
    """Rows come and sequences move between snapshot, dump and count; the drill still finds the copy equal."""
    settings = dataclasses.replace(place.settings, store=str(Path(place.settings.store).parent / "busy"))

    def write(text: str) -> None:
        if text.startswith("· postgres:"):
            place.sql("INSERT INTO tasks (title) SELECT 'meanwhile' FROM generate_series(1, 50)")

    ctx = place.context(settings=settings, progress=Progress(sink=write))
    result = run_backup(ctx)
    assert place.sql("SELECT count(*) FROM tasks WHERE title = 'meanwhile'") == "100"
    assert result.rows == 509
    assert run_drill(place.context(settings=settings)).rows == 509
    place.sql("DELETE FROM tasks WHERE title = 'meanwhile'")


def test_two_backups_within_one_second_are_two_sets(place: Place, tmp_path: Path) -> None:
    settings = dataclasses.replace(place.settings, store=str(tmp_path / "store"))
    ctx = place.context(settings=settings, clock=ManualClock(), run_id="same")
    ids = [run_backup(ctx).set_id for _ in range(2)]
    assert ids == ["20260101T000000Z-same", "20260101T000000Z-same-2"]
    assert len(list_sets(ctx.store, "local", load_trusted(settings))) == 2


def test_a_set_goes_to_s3_and_comes_back(place: Place) -> None:
    with s3_server() as endpoint:
        client = a_client(endpoint)
        client.create_bucket(Bucket="sets")
        from cortex_ops.store.s3 import S3Store

        ctx = place.context(store=Retrying(Prefixed(S3Store(client, "sets"), "cortex")))
        ensure_keys(ctx.settings)
        result = run_backup(ctx)
        assert run_drill(ctx).set_id == result.set_id
        assert "Uploads" not in client.list_multipart_uploads(Bucket="sets")


# -- what a drill must not believe -------------------------------------------------------------------------------


def test_one_changed_value_in_an_otherwise_valid_dump_fails_the_drill(
    ctx: BackupContext, done: BackupResult, new_id: str
) -> None:
    forge(ctx, done.set_id, new_id, {"data": once(b"\ttask 123\t", b"\ttask 321\t")})
    with pytest.raises(OpsError, match=r"table public\.tasks has its 500 rows, but their content differs"):
        run_drill(ctx, new_id)
    assert not [key for key in ctx.store.list(f"backups/local/{new_id}/") if "proof" in key]


def test_a_lost_row_and_a_moved_sequence_fail_the_drill(ctx: BackupContext, done: BackupResult, new_id: str) -> None:
    forge(ctx, done.set_id, new_id, {"data": once(b"same\t1\nsame\t1\n", b"same\t1\n")})
    with pytest.raises(OpsError, match=r'table "Mixed Case"\.t has 3 rows, and had 4'):
        run_drill(ctx, new_id)
    forge(ctx, done.set_id, new_id + "-2", {"data": once(b"setval('public.used', 100", b"setval('public.used', 101")})
    with pytest.raises(OpsError, match=r"sequence public\.used stands at 101, and was between 100 and 100"):
        run_drill(ctx, new_id + "-2")


def test_the_same_rows_in_another_order_are_equal(ctx: BackupContext, done: BackupResult, new_id: str) -> None:
    forge(ctx, done.set_id, new_id, {"data": once(b"same\t1\nsame\t1\n\\N\t\\N\n", b"same\t1\n\\N\t\\N\nsame\t1\n")})
    run_drill(ctx, new_id)


def test_a_dump_that_breaks_off_restores_nothing(ctx: BackupContext, done: BackupResult, new_id: str) -> None:
    forge(ctx, done.set_id, new_id, {"data": lambda data: data[: data.index(b"task 250")]})
    with pytest.raises(OpsError, match=r"restoring the data failed|differs from what was backed up"):
        run_drill(ctx, new_id)


def test_a_row_that_does_not_load_fails_the_drill_without_being_quoted(
    ctx: BackupContext, done: BackupResult, new_id: str
) -> None:
    forge(ctx, done.set_id, new_id, {"data": once(b"\ttask 123\t", b"\tvery private\textra\t")})
    with pytest.raises(OpsError, match=r"restoring the data failed \(exit 3\): psql.*ERROR") as caught:
        run_drill(ctx, new_id)
    assert "very private" not in "\n".join(caught.value.lines())


def _copy(ctx: BackupContext, set_id: str, new_id: str) -> Manifest:
    return forge(ctx, set_id, new_id, {})


def _damage(ctx: BackupContext, manifest: Manifest, change) -> None:  # type: ignore[no-untyped-def]
    path = Path(ctx.settings.store) / manifest.sources[0].parts[2].key
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(change(data))


def test_a_truncated_object_fails_the_drill_before_a_container_starts(
    ctx: BackupContext, done: BackupResult, new_id: str
) -> None:
    _damage(ctx, _copy(ctx, done.set_id, new_id), lambda data: data[:-1])
    with pytest.raises(OpsError, match=r"postgres\.data\.sql\.zst\.age is truncated: \d+ bytes"):
        run_drill(ctx, new_id)


@pytest.mark.parametrize("verify_first", [False, True])
def test_a_flipped_bit_fails_the_drill(
    ctx: BackupContext, done: BackupResult, new_id: str, verify_first: bool
) -> None:
    middle = done.stored_bytes // 3
    _damage(
        ctx,
        _copy(ctx, done.set_id, new_id),
        lambda data: data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :],
    )
    with pytest.raises(OpsError, match=r"postgres\.data\.sql\.zst\.age is damaged: its sha256 is"):
        run_drill(ctx, new_id, verify_first=verify_first)


def _replace_manifest(ctx: BackupContext, set_id: str, data: bytes) -> None:
    key = manifest_key("local", set_id)
    ctx.store.delete(key)
    assert ctx.store.put_if_absent(key, data)


def test_a_manifest_without_a_signature_fails_the_drill(ctx: BackupContext, done: BackupResult, new_id: str) -> None:
    _copy(ctx, done.set_id, new_id)
    document = json.loads(ctx.store.get(manifest_key("local", new_id)) or b"")
    del document["signature"]
    _replace_manifest(ctx, new_id, json.dumps(document).encode())
    with pytest.raises(OpsError, match=r"manifest\.json has no signature"):
        run_drill(ctx, new_id)


def test_a_set_of_a_foreign_signer_fails_the_drill(
    ctx: BackupContext, done: BackupResult, new_id: str, tmp_path: Path
) -> None:
    foreign = dataclasses.replace(ctx.settings, keys=tmp_path / "foreign")
    ensure_keys(foreign)
    _replace_manifest(ctx, new_id, seal(MANIFEST, _copy(ctx, done.set_id, new_id), load_signer(foreign)))
    with pytest.raises(OpsError, match="which is none of the trusted signers"):
        run_drill(ctx, new_id)


def test_a_set_for_other_recipients_fails_the_drill_with_the_reason(
    ctx: BackupContext, done: BackupResult, tmp_path: Path
) -> None:
    other = dataclasses.replace(ctx.settings, keys=tmp_path / "keys")
    ensure_keys(other)
    for name in (backup_keys.SIGNING, backup_keys.SIGNERS):
        (other.keys / name).write_bytes((ctx.settings.keys / name).read_bytes())
    with pytest.raises(OpsError, match="is not encrypted to the drill identity age1"):
        run_drill(dataclasses.replace(ctx, settings=other), done.set_id)


def test_an_image_of_another_engine_is_refused_with_the_remedy(
    ctx: BackupContext, done: BackupResult, new_id: str
) -> None:
    manifest = _copy(ctx, done.set_id, new_id)
    source = manifest.sources[0]
    moved = source.model_copy(update={"image": source.image.model_copy(update={"engine_id": "elsewhere"})})
    changed = manifest.model_copy(update={"sources": (moved,)})
    _replace_manifest(ctx, new_id, seal(MANIFEST, changed, load_signer(ctx.settings)))
    with pytest.raises(OpsError, match="exists only in the engine elsewhere"):
        run_drill(ctx, new_id)


def test_a_drill_without_a_set_says_so(place: Place, tmp_path: Path) -> None:
    settings = dataclasses.replace(place.settings, store=str(tmp_path / "store"))
    ensure_keys(settings)
    with pytest.raises(OpsError, match="local has no backup set to drill"):
        run_drill(place.context(settings=settings))


# -- what stops a backup before it publishes anything --------------------------------------------------------------


def _elsewhere(place: Place, folder: Path) -> Settings:
    return dataclasses.replace(place.settings, store=str(folder / "store"))


def _published(ctx: BackupContext) -> list[str]:
    return ctx.store.list("backups/")


def test_a_second_backup_is_refused_with_the_holders_name(place: Place, tmp_path: Path) -> None:
    ctx = place.context(settings=_elsewhere(place, tmp_path), run_id="second")
    with (
        ctx.store.lock("backup-local", holder="run first of tester@here", seconds=60),
        pytest.raises(RefusedError, match="backup-local is held by run first of tester"),
    ):
        run_backup(ctx)
    assert _published(ctx) == []


def test_a_wrong_password_is_the_servers_own_sentence(place: Place, tmp_path: Path) -> None:
    ctx = place.context(settings=_elsewhere(place, tmp_path))
    place.sql("ALTER ROLE cortex PASSWORD 'another'")
    try:
        with pytest.raises(OpsError, match="password authentication failed"):
            run_backup(ctx)
    finally:
        place.sql(f"ALTER ROLE cortex PASSWORD '{place.password}'")
    assert _published(ctx) == []


def test_a_database_that_is_not_there_is_the_servers_own_sentence(place: Place, tmp_path: Path) -> None:
    wrong = place.stack.stores["postgres"].model_copy(update={"database": "nowhere"})
    stack = place.stack.model_copy(update={"stores": {**place.stack.stores, "postgres": wrong}})
    ctx = place.context(settings=_elsewhere(place, tmp_path), stack=stack)
    with pytest.raises(OpsError, match='database "nowhere" does not exist'):
        run_backup(ctx)
    assert _published(ctx) == []


def test_a_server_that_does_not_run_is_one_sentence_and_retention_does_not_run(place: Place, tmp_path: Path) -> None:
    ctx = place.context(settings=_elsewhere(place, tmp_path))
    first = run_backup(ctx)
    docker("stop", "-t", "5", place.container)
    try:
        with pytest.raises(OpsError, match="postgres of local cannot be backed up: no running container of service"):
            run_backup(ctx)
    finally:
        docker("start", place.container)
        _answers(place)
    assert {key.split("/")[2] for key in _published(ctx)} == {first.set_id}


def test_a_server_that_hangs_meets_the_deadline(place: Place, tmp_path: Path) -> None:
    ctx = place.context(settings=_elsewhere(place, tmp_path), deadline=4.0)
    docker("pause", place.container)
    try:
        with pytest.raises(OpsError, match=r"did not answer within 4 s"):
            run_backup(ctx)
    finally:
        docker("unpause", place.container)
    assert _published(ctx) == []


def _answers(place: Place) -> None:
    import time

    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            place.sql("SELECT 1")
            return
        except AssertionError:
            time.sleep(0.2)
    raise AssertionError("the server did not come back")


def test_keys_are_not_made_up_where_losing_them_would_go_unnoticed(place: Place, tmp_path: Path) -> None:
    for changes in ({"store": "s3://bucket/cortex"}, {}):
        settings = dataclasses.replace(_elsewhere(place, tmp_path), keys=tmp_path / "keys", **changes)
        environment = "local" if changes else "production"
        ctx = place.context(settings=settings, environment=environment, store=place.context().store)
        with pytest.raises(InputError, match=r"backup-signing.key cannot be read, and is needed to sign"):
            run_backup(ctx)
    assert not (tmp_path / "keys").exists()


def test_a_stack_that_names_what_cannot_be_backed_up_is_refused(place: Place, tmp_path: Path) -> None:
    assert place.stack.backup is not None
    backup = place.stack.backup.model_copy(update={"stores": ["postgres", "nats"]})
    ctx = place.context(settings=_elsewhere(place, tmp_path), stack=place.stack.model_copy(update={"backup": backup}))
    with pytest.raises(InputError, match="names nats, a nats store"):
        run_backup(ctx)
    assert _published(ctx) == []
