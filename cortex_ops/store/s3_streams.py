"""Objects too big for memory on S3: a part at a time up, resumed where a connection broke down.

What a store does with whole objects is in `s3`.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from cortex_ops.adapters.s3 import AbsentError, TakenError, explain
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.store import Reader, Writer

if TYPE_CHECKING:
    from cortex_ops.store.s3 import S3Store

TOKEN = "cortex-ops-write"
MIB = 1024 * 1024


def part_size(number: int) -> int:
    """Bytes of the n-th part (from 1). Parts grow, as there may be 10,000 of them: in all about 500 GB."""
    return (8 if number <= 1000 else 16 if number <= 4000 else 64) * MIB


class S3Writer(Writer):
    """Collects a part at a time; an object of one part is put whole, a bigger one is a multipart upload.

    `upload` makes even a small one a multipart upload: the probe asks whether those are exclusive, too.
    """

    def __init__(self, store: S3Store, key: str, *, upload: bool = False) -> None:
        self.store, self.key = store, key
        self._always = upload
        self._token = uuid.uuid4().hex
        self._buffer = bytearray()
        self._upload = ""
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes) -> int:
        self._buffer += data
        while len(self._buffer) > (size := part_size(len(self._parts) + 1)):
            self._send(bytes(memoryview(self._buffer)[:size]))
            del self._buffer[:size]
        return len(data)

    def _send(self, part: bytes) -> None:
        where = {"Bucket": self.store.bucket, "Key": self.key}
        try:
            with self.store.explained(f"uploading {self.key}"):
                if not self._upload:
                    made = self.store.client.create_multipart_upload(**where, Metadata={TOKEN: self._token})
                    self._upload = made["UploadId"]
                number = len(self._parts) + 1
                answer = self.store.client.upload_part(**where, UploadId=self._upload, PartNumber=number, Body=part)
        except AbsentError as error:
            raise OpsError(str(error), remedy="the upload was aborted by someone else; run again") from error
        self._parts.append({"ETag": answer["ETag"], "PartNumber": number})

    def commit(self) -> bool:
        try:
            if not self._upload and not self._always:
                return self.store.create(self.key, self._token, self._put)
            if self._buffer:
                self._send(bytes(self._buffer))
            done = self.store.create(self.key, self._token, self._complete)
            if done:
                self._upload = ""
            return done
        finally:
            self.abort()

    def _put(self) -> None:
        self.store.client.put_object(
            Bucket=self.store.bucket,
            Key=self.key,
            Body=bytes(self._buffer),
            IfNoneMatch="*",
            Metadata={TOKEN: self._token},
        )

    def _complete(self) -> None:
        self.store.client.complete_multipart_upload(
            Bucket=self.store.bucket,
            Key=self.key,
            UploadId=self._upload,
            MultipartUpload={"Parts": self._parts},
            IfNoneMatch="*",
        )

    def abort(self) -> None:
        upload, self._upload, self._buffer = self._upload, "", bytearray()
        if upload:
            self.store.abort_upload(self.key, upload)


class S3Reader(Reader):
    """Reads an object to its full length; a connection that breaks is continued where it ended."""

    _TRIES = 4

    def __init__(self, store: S3Store, key: str) -> None:
        self.store, self.key = store, key
        self._body: Any = None
        self._etag = ""
        self._at = self.size = 0
        self._request()

    def _request(self) -> None:
        more = {"Range": f"bytes={self._at}-", "IfMatch": self._etag} if self._etag else {}
        try:
            with self.store.explained(f"reading {self.key}"):
                answer = self.store.client.get_object(Bucket=self.store.bucket, Key=self.key, **more)
        except AbsentError as error:
            raise OpsError(f"{self.store.where}: there is no {self.key}") from error
        except TakenError as error:
            raise OpsError(f"{self.store.where}: {self.key} changed while it was read") from error
        self._body = answer["Body"]
        if not self._etag:
            self._etag, self.size = answer["ETag"], int(answer["ContentLength"])

    def read(self, size: int = 65536) -> bytes:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        for left in reversed(range(self._TRIES)):
            wanted = min(size, self.size - self._at)
            try:
                data = bytes(self._body.read(wanted)) if wanted else b""
            except (BotoCoreError, HTTPError, OSError) as error:
                if not left:
                    raise explain(error, self.store.where, f"reading {self.key}") from error
                data = b""
            if data or not wanted:
                self._at += len(data)
                return data
            self._body.close()
            self._request()
        raise OpsError(f"{self.store.where}: {self.key} ends after {self._at} of {self.size} bytes")

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
