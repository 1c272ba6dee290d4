"""The S3 client (boto3, imported on first use): how it is made from settings, and what its errors mean.

Third-party stores differ in endpoint, addressing style, certificates and checksums, so each is a setting.
Credentials come from boto3's own chain (variables, profile, instance role) and are never settings of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.redact import remember
from cortex_ops.kernel.settings import Settings
from cortex_ops.kernel.store import TransientError

PREFIX = "CORTEX_OPS_S3_"
_CHECKSUMS = ("when_required", "when_supported")


@dataclass(frozen=True)
class S3Settings:
    """`checksums` is boto3's mode; many third-party stores refuse `when_supported`, so it is the default only
    without an endpoint of one's own."""

    endpoint: str = ""
    path_style: bool = False
    ca_bundle: str = ""
    checksums: str = "when_supported"
    region: str = ""


def s3_settings(settings: Settings) -> S3Settings:
    """From `CORTEX_OPS_S3_ENDPOINT`, `_PATH_STYLE`, `_CA_BUNDLE`, `_CHECKSUMS`, `_REGION`."""
    given = {key.removeprefix(PREFIX): value for key, value in settings.extra.items() if key.startswith(PREFIX)}
    known = {"ENDPOINT", "PATH_STYLE", "CA_BUNDLE", "CHECKSUMS", "REGION"}
    if unknown := sorted(set(given) - known):
        raise InputError(
            f"{PREFIX}{unknown[0]} is no setting", remedy=f"there are {', '.join(PREFIX + k for k in sorted(known))}"
        )
    endpoint = given.get("ENDPOINT", "")
    checksums = given.get("CHECKSUMS") or ("when_required" if endpoint else "when_supported")
    if checksums not in _CHECKSUMS:
        raise InputError(f"{PREFIX}CHECKSUMS: found {checksums!r}, expected {' or '.join(_CHECKSUMS)}")
    style = given.get("PATH_STYLE", "").lower()
    if style not in ("", "0", "1", "true", "false"):
        raise InputError(f"{PREFIX}PATH_STYLE: found {style!r}, expected true or false")
    return S3Settings(
        endpoint=endpoint,
        path_style=style in ("1", "true"),
        ca_bundle=given.get("CA_BUNDLE") or settings.ca_bundle,
        checksums=checksums,
        region=given.get("REGION", ""),
    )


def make_client(options: S3Settings) -> Any:
    """A client that times out (10 s to connect, 60 s between bytes) and retries what is transient itself."""
    import boto3
    from botocore.config import Config

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        value = os.environ.get(name, "")
        if name != "AWS_ACCESS_KEY_ID":
            remember(value)
        if any(letter.isspace() for letter in value):  # else a wrong signature, or an endpoint that seems silent
            raise InputError(f"{name} holds a line break or a space", remedy="set it to the bare value")
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=options.endpoint or None,
            region_name=options.region or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            verify=options.ca_bundle or None,
            config=Config(
                connect_timeout=10,
                read_timeout=60,
                retries={"mode": "standard", "total_max_attempts": 4},
                s3={"addressing_style": "path" if options.path_style else "auto"},
                request_checksum_calculation=options.checksums,
                response_checksum_validation=options.checksums,
                user_agent_extra="cortex-ops",
            ),
        )
    except ValueError as error:  # an endpoint that is no URL
        raise InputError(f"{PREFIX}ENDPOINT: {error}") from error


def code_of(error: Exception) -> str:
    """`NoSuchKey`, `PreconditionFailed`, …; bare statuses are named, since HEAD answers have no body."""
    response = getattr(error, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", ""))
    return {"404": "NoSuchKey", "412": "PreconditionFailed", "409": "ConditionalRequestConflict"}.get(code, code)


_REMEDIES = {
    "NoSuchBucket": "create the bucket, or correct CORTEX_OPS_STORE",
    "AccessDenied": "grant get, list, put, delete and multipart on the prefix to these credentials",
    "403": "grant get, list, put, delete and multipart on the prefix to these credentials",
    "InvalidAccessKeyId": "correct AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "correct AWS_SECRET_ACCESS_KEY, or the region in CORTEX_OPS_S3_REGION",
    "NotImplemented": "try CORTEX_OPS_S3_CHECKSUMS=when_required",
    "InvalidArgument": "try CORTEX_OPS_S3_CHECKSUMS=when_required",
    "XAmzContentSHA256Mismatch": "try CORTEX_OPS_S3_CHECKSUMS=when_required",
}
_TRANSIENT = {
    *("SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestTimeTooSkewed"),
    *("InternalError", "ServiceUnavailable", "500", "502", "503", "504", "429"),
}


def explain(error: Exception, where: str, doing: str) -> OpsError:
    """One sentence for any error of boto3: what was done, where, why, and what to set."""
    from botocore import exceptions as e

    text = f"{where}: {doing} failed"
    if isinstance(error, e.ClientError):
        code = code_of(error)
        said = str(error.response.get("Error", {}).get("Message") or "").strip()
        kind = TransientError if code in _TRANSIENT else OpsError
        return kind(f"{text}: {code}" + (f": {said}" if said else ""), remedy=_REMEDIES.get(code, ""))
    if isinstance(error, e.NoCredentialsError | e.PartialCredentialsError):
        return OpsError(f"{text}: no credentials", remedy="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if isinstance(error, e.SSLError):
        return OpsError(
            f"{text}: the certificate is not trusted", remedy="set CORTEX_OPS_S3_CA_BUNDLE to its authority's file"
        )
    if isinstance(error, e.EndpointConnectionError | e.ConnectionClosedError | e.HTTPClientError):
        return TransientError(f"{text}: the endpoint does not answer", remedy="check CORTEX_OPS_S3_ENDPOINT")
    return OpsError(f"{text}: {error}")


class AbsentError(Exception):
    """There is no such object or upload: often an answer, not a failure."""


class TakenError(Exception):
    """A condition was not met: the object exists already, or is not the one that was read before."""


@contextmanager
def explained(where: str, doing: str) -> Iterator[None]:
    """Turn boto3's errors into ours; absence and unmet conditions stay apart for the caller to judge."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = code_of(error)
        if code in ("NoSuchKey", "NotFound", "NoSuchUpload"):
            raise AbsentError(f"{where}: {doing} failed: {code}") from error
        if code in ("PreconditionFailed", "ConditionalRequestConflict"):
            raise TakenError(f"{where}: {doing} failed: {code}") from error
        raise explain(error, where, doing) from error
    except BotoCoreError as error:
        raise explain(error, where, doing) from error
