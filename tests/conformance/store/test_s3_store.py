"""S3 on bad days: lost answers, refused conditions, broken reads. The server is real; the client's calls are cut."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from cortex_ops.adapters.s3 import S3Settings, make_client, s3_settings
from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.settings import load_settings
from cortex_ops.kernel.store import TransientError
from cortex_ops.store.s3 import S3Store
from cortex_ops.store.s3_streams import part_size
from tests.support.s3 import a_client, credentials, free_port, s3_server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def store(endpoint: str) -> S3Store:
    client = a_client(endpoint)
    name = f"b-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return S3Store(client, name)


def _after(client: Any, operation: str, act: Callable[[], None]) -> None:
    """Do something when the server already carried the operation out, once."""
    real = getattr(client, operation)

    def call(**kwargs: Any) -> Any:
        answer = real(**kwargs)
        setattr(client, operation, real)
        act()
        return answer

    setattr(client, operation, call)


def _lose() -> None:
    raise ConnectionClosedError(endpoint_url="http://127.0.0.1")


def test_a_write_whose_answer_was_lost_counts_as_written(store: S3Store) -> None:
    _after(store.client, "put_object", _lose)
    assert store.put_if_absent("a", b"1")
    assert not store.put_if_absent("a", b"1")


def test_a_retry_of_our_own_write_that_is_refused_counts_as_written(store: S3Store) -> None:
    real = store.client.put_object

    def twice(**kwargs: Any) -> Any:
        real(**kwargs)
        return real(**kwargs)  # what the client's own retry does after a lost answer: the server says 412

    store.client.put_object = twice
    assert store.put_if_absent("a", b"1")


def test_a_finished_upload_whose_answer_was_lost_counts_as_written(store: S3Store) -> None:
    _after(store.client, "complete_multipart_upload", _lose)
    with store.open_writer("big") as writer:
        writer.write(b"x" * (9 * MIB))
        assert writer.commit()
    assert store.get("big") == b"x" * (9 * MIB)


def test_a_failed_write_is_an_error_not_a_success(store: S3Store) -> None:
    def lost(**_: Any) -> None:
        _lose()

    store.client.put_object = lost
    with pytest.raises(TransientError, match="writing a failed: the endpoint does not answer"):
        store.put_if_absent("a", b"1")


def test_an_upload_that_fails_is_aborted(store: S3Store) -> None:
    real, sent = store.client.upload_part, []

    def second_fails(**kwargs: Any) -> Any:
        sent.append(kwargs["PartNumber"])
        if len(sent) == 2:
            _lose()
        return real(**kwargs)

    store.client.upload_part = second_fails
    with pytest.raises(TransientError), store.open_writer("big") as writer:
        writer.write(b"x" * (20 * MIB))
    assert "Uploads" not in store.client.list_multipart_uploads(Bucket=store.bucket)


def test_uploads_of_killed_runs_are_reaped_under_the_prefix_only(store: S3Store) -> None:
    for key in ("backups/local/x", "backups/staging/x"):
        store.client.create_multipart_upload(Bucket=store.bucket, Key=key)
    assert store.reap("backups/local/") == 1
    left = store.client.list_multipart_uploads(Bucket=store.bucket)["Uploads"]
    assert [upload["Key"] for upload in left] == ["backups/staging/x"]


class _Cut:
    """A body that ends early, as when the connection breaks."""

    def __init__(self, body: Any, after: int) -> None:
        self.body, self.left = body, after

    def read(self, size: int) -> bytes:
        data = self.body.read(min(size, self.left))
        self.left -= len(data)
        return data

    def close(self) -> None:
        self.body.close()


def _cut_reads(store: S3Store, times: int, after: int) -> None:
    real, left = store.client.get_object, [times]

    def cut(**kwargs: Any) -> Any:
        answer = real(**kwargs)
        if left[0]:
            left[0] -= 1
            answer["Body"] = _Cut(answer["Body"], after)
        return answer

    store.client.get_object = cut


def test_a_read_that_breaks_is_continued_where_it_ended(store: S3Store) -> None:
    data = bytes(range(256)) * 1000
    store.put_if_absent("a", data)
    _cut_reads(store, 2, 70_000)
    with store.open_reader("a") as reader:
        assert b"".join(iter(lambda: reader.read(50_000), b"")) == data


def test_a_read_that_breaks_for_good_is_an_error_not_an_end(store: S3Store) -> None:
    store.put_if_absent("a", b"x" * 1000)
    _cut_reads(store, 100, 0)
    with store.open_reader("a") as reader, pytest.raises(OpsError, match="a ends after 0 of 1000 bytes"):
        reader.read(10)


def test_an_object_that_is_replaced_while_it_is_read_is_an_error(store: S3Store) -> None:
    store.put_if_absent("a", b"x" * 1000)
    _cut_reads(store, 1, 100)
    with store.open_reader("a") as reader:
        reader.read(100)
        store.client.put_object(Bucket=store.bucket, Key="a", Body=b"y" * 1000)
        with pytest.raises(OpsError, match="a changed while it was read"):
            reader.read(100)


def test_parts_grow_so_that_ten_thousand_are_enough() -> None:
    assert sum(part_size(n) for n in range(1, 10_001)) > 400 * 1024 * MIB
    assert max(part_size(n) for n in range(1, 1001)) == 8 * MIB


def test_a_server_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    with credentials():
        client = make_client(S3Settings(endpoint=f"http://127.0.0.1:{free_port()}", path_style=True))
    client.meta.events.register("needs-retry.s3.*", lambda **_: False)
    with pytest.raises(TransientError, match="s3://b: listing a/ failed: the endpoint does not answer"):
        S3Store(client, "b").list("a/")


def test_no_credentials_is_one_sentence(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    client = make_client(S3Settings(endpoint=endpoint, path_style=True))
    with pytest.raises(OpsError, match="no credentials"):
        S3Store(client, "b").get("a")


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_a_credential_with_a_line_break_is_refused_unquoted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "half\nof it")
    with pytest.raises(InputError, match=f"^{name} holds a line break or a space") as refused:
        make_client(S3Settings())
    assert "half" not in "".join(refused.value.lines())


def test_settings_are_read_and_checked(tmp_path: Path) -> None:
    def read(**env: str) -> S3Settings:
        given = {f"CORTEX_OPS_S3_{key}": value for key, value in env.items()}
        return s3_settings(load_settings({"CORTEX_OPS_PROJECT": str(tmp_path), **given}))

    assert read() == S3Settings()
    assert read(ENDPOINT="http://x").checksums == "when_required", "third-party stores refuse the others"
    assert read(PATH_STYLE="true", CA_BUNDLE="/ca", REGION="r", CHECKSUMS="when_required") == S3Settings(
        path_style=True, ca_bundle="/ca", region="r", checksums="when_required"
    )
    for wrong in ({"CHECKSUMS": "never"}, {"PATH_STYLE": "maybe"}, {"ENPOINT": "x"}):
        with pytest.raises(InputError, match=f"CORTEX_OPS_S3_{next(iter(wrong))}"):
            read(**wrong)
