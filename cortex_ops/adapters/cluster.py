"""One Kubernetes API server: its paths as plain JSON documents; credentials and transport are the client library's.

Knows no kinds and decides nothing. The library costs half a second to import, so it is imported on first use.
"""

from __future__ import annotations

import binascii
import functools
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from cortex_ops.kernel.clock import SYSTEM, Clock
from cortex_ops.kernel.errors import InputError, OpsError, RefusedError

Object = dict[str, Any]
MANAGER = "cortex-ops"
APPLY = "application/apply-patch+yaml"  # JSON is YAML
PATIENCE = 60.0  # an API server that is upgraded is away for less
TIMEOUT = 30.0
WORDS = 5.0  # for an explanation; a failure is said soon, with or without it
_AWAY = (429, 500, 502, 503, 504)


class ClusterError(OpsError):
    """What the API server refused. `status` is the HTTP code, `reason` the API's word for it (`NotFound`)."""

    def __init__(
        self, message: str, *, status: int, reason: str = "", remedy: str = "", causes: list[Object]
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.status, self.reason, self.causes = status, reason, causes


@dataclass(frozen=True)
class Resource:
    """How the API server serves a kind."""

    kind: str
    plural: str
    namespaced: bool


class Cluster:
    """Found by a kubeconfig and one of its contexts; empty: the client's own rules, or the pod's own account.

    Every call is repeated while the server is away, for up to `patience` seconds, when repeating it is harmless.
    """

    def __init__(
        self, kubeconfig: str = "", context: str = "", *, clock: Clock = SYSTEM, patience: float = PATIENCE
    ) -> None:
        self.kubeconfig, self.context = kubeconfig, context
        self.clock, self.patience = clock, patience
        self._lock = threading.Lock()
        self._served: dict[str, dict[str, Resource]] = {}

    # -- connection ------------------------------------------------------------------------------------------
    @functools.cached_property
    def _client(self) -> Any:
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException

        configuration = client.Configuration()
        configuration.retries = False
        configuration.connection_pool_maxsize = 16
        where = self.kubeconfig or "the kubeconfig (KUBECONFIG, or ~/.kube/config)"
        try:
            if self.kubeconfig or self.context or not _in_a_pod():
                config.load_kube_config(
                    config_file=self.kubeconfig or None,
                    context=self.context or None,
                    client_configuration=configuration,
                )
            else:
                config.load_incluster_config(client_configuration=configuration)
        except binascii.Error as error:
            raise InputError(f"{where}: a certificate, a key or a token in it is not base64: {error}") from error
        except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
            wanted = f", context {self.context}" if self.context else ""
            raise InputError(
                f"{where}{wanted} names no cluster: {_first_line(error)}",
                remedy="name the file in KUBECONFIG, and the context under `kubernetes:` of the environment",
            ) from error
        except Exception as error:  # a YAML reader has errors of its own
            raise InputError(f"{where} cannot be read: {_first_line(error)}") from error
        _check_files(where, configuration)
        return client.ApiClient(configuration)

    @property
    def address(self) -> str:
        """`https://host:port` of the API server."""
        return str(self._client.configuration.host)

    def _headers(self, content: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": MANAGER}
        if content:
            headers["Content-Type"] = content
        with self._lock:  # a token may be fetched anew here
            self._client.update_params_for_auth(headers, [], ["BearerToken"])
        return headers

    def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content: str = "",
        stream: bool = False,
        timeout: float = TIMEOUT,
        repeat: bool | None = None,
        secret: bool = False,
    ) -> Any:
        """The library's response. `repeat`: harmless to do twice (default: everything but POST).

        Raises `ClusterError` for an answer that is no success, `OpsError` when none came. With `secret`, the server's
        words are not repeated: they may hold a value.
        """
        import urllib3

        if body is not None and not content:
            content = "application/json"
        url = self.address + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body)
        again = method != "POST" if repeat is None else repeat
        end = self.clock.monotonic() + self.patience
        while True:
            try:
                response = self._client.rest_client.pool_manager.request(
                    method,
                    url,
                    body=data,
                    headers=self._headers(content),
                    preload_content=not stream,
                    timeout=urllib3.Timeout(connect=5, read=timeout),
                    retries=False,
                )
            except urllib3.exceptions.HTTPError as error:
                # A refused connection carried nothing, whatever the method.
                harmless = again or isinstance(error, urllib3.exceptions.NewConnectionError)
                if _is_certificate(error) or not harmless or self.clock.monotonic() > end:
                    raise self._unreachable(error) from error
            else:
                if response.status < 300:
                    return response
                answer = self._refused(method, path, response, secret)
                transient = answer.status in _AWAY and (again or answer.status == 429)
                if not transient or self.clock.monotonic() > end:
                    raise answer
            self.clock.sleep(0.5)

    def request(self, method: str, path: str, **how: Any) -> Object:
        """The answer's document."""
        response = self.raw(method, path, **how)
        try:
            document: Object = json.loads(response.data) if response.data else {}
        except ValueError:
            raise OpsError(
                f"what answers at {self.address} is no API server of Kubernetes: {method} {path} gave no JSON",
                remedy="correct `server` in the kubeconfig",
            ) from None
        return document

    def _unreachable(self, error: Exception) -> OpsError:
        text = _first_line(error)
        if _is_certificate(error):
            return OpsError(
                f"the certificate of the API server at {self.address} is not trusted: {text}",
                remedy="correct certificate-authority-data in the kubeconfig",
            )
        return OpsError(
            f"the API server at {self.address} does not answer: {text}",
            remedy="check that the cluster runs and that this machine reaches it",
        )

    def _refused(self, method: str, path: str, response: Any, secret: bool) -> ClusterError:
        try:
            status = json.loads(response.data if response.data is not None else response.read())
        except ValueError:
            status = {}
        message, reason = str(status.get("message") or f"HTTP {response.status}"), str(status.get("reason") or "")
        causes = [] if secret else list((status.get("details") or {}).get("causes") or [])
        if response.status == 401:
            return ClusterError(
                f"the API server at {self.address} does not accept the credentials (expired, or of another cluster)",
                status=401,
                reason="Unauthorized",
                remedy="log in again, then run this again",
                causes=[],
            )
        if secret:
            message = f"{reason or response.status} for {method} {path}; the server's words may hold a secret"
        return ClusterError(message, status=response.status, reason=reason, causes=causes)

    # -- documents -------------------------------------------------------------------------------------------
    def get(self, path: str, **how: Any) -> Object | None:
        """None when there is no such object."""
        try:
            return self.request("GET", path, **how)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str, labels: str = "") -> list[Object]:
        """All items of a collection, page by page; a kind that is not served has none."""
        query = {"limit": "500", "labelSelector": labels}
        query = {key: value for key, value in query.items() if value}
        items: list[Object] = []
        while True:
            page = self.get(path, query=query)
            if page is None:
                return items
            items += page.get("items") or []
            query["continue"] = str((page.get("metadata") or {}).get("continue") or "")
            if not query["continue"]:
                return items

    def apply(
        self, document: Object, *, force: bool = False, dry_run: bool = False, manager: str = MANAGER
    ) -> Object:
        """Server-side apply. A conflict is a `ClusterError` with status 409 and a cause for each field."""
        query = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        path = self.path_of(document)
        return self.request(
            "PATCH", path, query=query, body=document, content=APPLY, secret=document["kind"] == "Secret"
        )

    def rehearse(self, document: Object) -> None:
        """Asks whether the server takes the document, which says its `resourceVersion`, as the whole of an object
        that is there; nothing changes."""
        query = {"fieldManager": MANAGER, "dryRun": "All", "fieldValidation": "Strict"}
        self.request("PUT", self.path_of(document), query=query, body=document, secret=document["kind"] == "Secret")

    def create(self, document: Object) -> Object:
        folder = self.path_of(document).rsplit("/", 1)[0]
        query = {"fieldManager": MANAGER}
        secret = document["kind"] == "Secret"
        return self.request("POST", folder, query=query, body=document, secret=secret)

    def patch(self, document: Object, operations: list[Object], *, repeat: bool = False) -> Object:
        """A JSON patch; `repeat` while the server is away where it tests the version of what it changes."""
        content = "application/json-patch+json"
        query = {"fieldManager": MANAGER}
        path = self.path_of(document)
        return self.request("PATCH", path, query=query, body=operations, content=content, repeat=repeat)

    def delete(self, document: Object, *, uid: str = "", version: str = "") -> bool:
        """False when it is not there any more, or is another object of the same name by now."""
        given = {"uid": uid, "resourceVersion": version}
        preconditions = {key: value for key, value in given.items() if value}
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if preconditions:
            body["preconditions"] = preconditions
        try:
            self.request("DELETE", self.path_of(document), body=body)
        except ClusterError as error:
            if error.status in (404, 409):
                return False
            raise
        return True

    # -- paths and kinds -------------------------------------------------------------------------------------
    def served(self, api_version: str) -> dict[str, Resource]:
        """Kind → how it is served; empty when the server has no such API."""
        if api_version not in self._served:
            found = self.get(_root(api_version))
            rows = (found or {}).get("resources") or []
            self._served[api_version] = {
                row["kind"]: Resource(row["kind"], row["name"], row["namespaced"])
                for row in rows
                if "/" not in row["name"]
            }
        return self._served[api_version]

    def collection(self, api_version: str, kind: str, namespace: str = "") -> str:
        """Raises `RefusedError` for a kind that the server does not have."""
        found = self.served(api_version).get(kind)
        if found is None:
            raise RefusedError(f"the cluster at {self.address} has no kind {kind} ({api_version})")
        space = f"/namespaces/{namespace}" if found.namespaced and namespace else ""
        return f"{_root(api_version)}{space}/{found.plural}"

    def path_of(self, document: Object) -> str:
        metadata = document["metadata"]
        folder = self.collection(document["apiVersion"], document["kind"], metadata.get("namespace", ""))
        return f"{folder}/{metadata['name']}"

    # -- logs ------------------------------------------------------------------------------------------------
    def last_words(self, namespace: str, pod: str, container: str, *, previous: bool, tail: int) -> str:
        """The end of a container's output, for an explanation: asked once, and empty where its node does not answer
        within some seconds."""
        try:
            return self.log(namespace, pod, container, previous=previous, tail=tail, timeout=WORDS, repeat=False)
        except OpsError:
            return ""

    def log(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        previous: bool = False,
        tail: int = 0,
        timeout: float = TIMEOUT,
        repeat: bool = True,
    ) -> str:
        """A container's output; empty when there is none (not started yet, or removed)."""
        query = {"container": container, "previous": str(previous).lower()}
        if tail:
            query["tailLines"] = str(tail)
        try:
            path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
            response = self.raw("GET", path, query=query, timeout=timeout, repeat=repeat)
        except ClusterError:
            return ""
        return str(response.data.decode(errors="replace"))

    def follow(self, namespace: str, pod: str, container: str, *, timeout: float) -> Iterator[str]:
        """Its lines as they come, until it ends; `timeout` seconds without a line end it too."""
        query = {"container": container, "follow": "true"}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        response = self.raw("GET", path, query=query, stream=True, timeout=timeout)
        rest = b""
        for chunk in response.stream(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
        if rest:
            yield rest.decode(errors="replace")


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _in_a_pod() -> bool:
    import os

    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and not os.environ.get("KUBECONFIG")


def _check_files(where: str, configuration: Any) -> None:
    """A connection that fails for one of these would look like a server that is away."""
    context = ssl.create_default_context()
    if configuration.ssl_ca_cert:
        try:
            context.load_verify_locations(configuration.ssl_ca_cert)
        except OSError as error:
            raise InputError(f"{where}: its certificate authority cannot be used: {_first_line(error)}") from error
    if configuration.cert_file:
        try:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        except OSError as error:
            raise InputError(
                f"{where}: its client certificate, or the key of that, cannot be used: {_first_line(error)}",
                remedy="log in again, or have the kubeconfig issued anew",
            ) from error


def _is_certificate(error: Exception) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error) or "certificate" in str(error).lower()


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
