"""The few calls of a registry's HTTP API that base images need: what a tag means, and giving a tag a meaning."""

from __future__ import annotations

import http.client

from deploy.setup.shell import SetupError

KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


def repository(name: str) -> tuple[str, str]:
    """(repository, tag) as a mirror of docker.io has `name`."""
    repo, _, tag = name.partition(":")
    return (repo if "/" in repo else f"library/{repo}"), tag


def digest(mirror: str, repo: str, tag: str) -> str | None:
    """The digest that `repo:tag` means at `mirror` (host:port); None when there is no such tag."""
    status, headers, _ = _call(mirror, "HEAD", f"/v2/{repo}/manifests/{tag}", {"Accept": ", ".join(KINDS)})
    return headers.get("docker-content-digest") if status == 200 else None


def retag(mirror: str, repo: str, tag: str, new: str) -> None:
    """Let `repo:new` mean what `repo:tag` means."""
    path = f"/v2/{repo}/manifests/"
    status, headers, body = _call(mirror, "GET", path + tag, {"Accept": ", ".join(KINDS)})
    if status == 200:
        status, _, _ = _call(mirror, "PUT", path + new, {"Content-Type": headers["content-type"]}, body)
    if status not in (200, 201):
        raise SetupError(f"the registry at {mirror} answers {status} for {repo}:{tag}", "see its log")


def _call(
    mirror: str, method: str, path: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(mirror, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise SetupError(f"the registry at {mirror} does not answer: {error}", "run `make setup` again") from error
    finally:
        connection.close()
