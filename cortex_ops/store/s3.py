"""A store in an S3 bucket. `If-None-Match: *` makes creation exclusive, on puts and on finished uploads.

Every write carries a token of its own: after a refusal or a lost answer, the token in the object says whether
it was this very write that succeeded (a retried request), not merely one with equal bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from cortex_ops.adapters.s3 import AbsentError, TakenError, explained
from cortex_ops.kernel.clock import SYSTEM, Clock
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.store import TransientError
from cortex_ops.store.keys import check_key, check_prefix
from cortex_ops.store.locks import lease
from cortex_ops.store.s3_streams import TOKEN, S3Reader, S3Writer


class S3Store:
    """See `kernel.store.StreamStore`. `client` is boto3's; the bucket must exist."""

    def __init__(self, client: Any, bucket: str, *, endpoint: str = "", clock: Clock = SYSTEM) -> None:
        self.client = client
        self.bucket = bucket
        self.clock = clock
        self.where = f"s3://{bucket}" + (f" at {endpoint}" if endpoint else "")

    def get(self, key: str) -> bytes | None:
        try:
            with self.explained(f"reading {key}"):
                answer = self.client.get_object(Bucket=self.bucket, Key=check_key(key))
                return answer["Body"].read()
        except AbsentError:
            return None

    def list(self, prefix: str) -> list[str]:
        with self.explained(f"listing {prefix}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=check_prefix(prefix)
            )
            return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        check_key(key)
        token = uuid.uuid4().hex

        def put() -> None:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=data, IfNoneMatch="*", Metadata={TOKEN: token})

        return self.create(key, token, put)

    def explained(self, doing: str) -> AbstractContextManager[None]:
        return explained(self.where, doing)

    def create(self, key: str, token: str, request: Callable[[], None]) -> bool:
        """Run a conditional request; True when the object that is there afterwards is of this write."""
        try:
            with self.explained(f"writing {key}"):
                request()
            return True
        except TakenError as error:
            found = self.written_by(key)
            if found is None:
                raise TransientError(f"{error}, and {key} is not there yet: another write is under way") from error
            return found == token
        except (OpsError, AbsentError) as error:
            # The answer may have been lost after the write: a finished upload is then unknown to the server.
            if self.written_by(key) == token:
                return True
            raise error if isinstance(error, OpsError) else OpsError(str(error)) from error

    def written_by(self, key: str) -> str | None:
        """The token of the write that made the object; None when there is no object."""
        try:
            with self.explained(f"reading {key}"):
                return str(self.client.head_object(Bucket=self.bucket, Key=key)["Metadata"].get(TOKEN, ""))
        except AbsentError:
            return None

    def delete(self, key: str) -> None:
        with self.explained(f"removing {key}"):
            self.client.delete_object(Bucket=self.bucket, Key=check_key(key))

    def open_writer(self, key: str) -> S3Writer:
        return S3Writer(self, check_key(key))

    def open_reader(self, key: str) -> S3Reader:
        return S3Reader(self, check_key(key))

    def lock(self, name: str, *, holder: str, seconds: float) -> AbstractContextManager[None]:
        return lease(self, name, holder=holder, seconds=seconds, clock=self.clock)

    def reap(self, prefix: str, *, say: Callable[[str], None] = lambda _text: None) -> int:
        """Abort unfinished uploads under the prefix; they cost space and no listing of objects shows them."""
        count = 0
        with self.explained(f"listing unfinished uploads under {prefix}"):
            pages = self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=check_prefix(prefix)
            )
            stale = [(u["Key"], u["UploadId"]) for page in pages for u in page.get("Uploads", ())]
        for key, upload in stale:
            self.abort_upload(key, upload)
            say(f"removed the upload of {key}, left unfinished by a run that was killed")
            count += 1
        return count

    def abort_upload(self, key: str, upload: str) -> None:
        try:
            with self.explained(f"aborting the upload of {key}"):
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
        except AbsentError:
            pass
