"""The stand-in as a process on a loopback port, and a small client. Nothing here knows the contract."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.engine import ROOT

SOURCE = ROOT / "deploy" / "bare" / "images" / "qdrant-standin"
READY = 20.0  # seconds, on a busy machine


@dataclass
class Answer:
    method: str
    path: str
    status: int
    kind: str
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def result(self) -> Any:
        assert self.status == 200, f"{self.method} {self.path} answers {self.status}: {self.raw[:300]!r}"
        return self.body["result"]

    @property
    def error(self) -> str:
        assert self.status >= 400, f"{self.method} {self.path} answers {self.status}"
        return str(self.body["status"]["error"])


@dataclass
class Client:
    port: int
    storage: Path | None = None
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, data, {**self.headers, **(headers or {})})
            found = connection.getresponse()
            answer = Answer(method, path, found.status, found.headers.get_content_type(), found.read())
        finally:
            connection.close()
        self.answers.append(answer)
        return answer

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def put(self, path: str, body: Any) -> Answer:
        return self.ask("PUT", path, body)

    def post(self, path: str, body: Any = None) -> Answer:
        return self.ask("POST", path, body)

    def delete(self, path: str) -> Answer:
        return self.ask("DELETE", path)

    def create(self, name: str, size: int = 3, distance: str = "Dot") -> None:
        assert self.put(f"/collections/{name}", {"vectors": {"size": size, "distance": distance}}).result is True

    def upsert(self, name: str, *points: tuple[Any, list[float], dict[str, Any]]) -> None:
        made = [{"id": i, "vector": v, "payload": p} for i, v, p in points]
        found = self.put(f"/collections/{name}/points?wait=true", {"points": made}).result
        assert found["status"] == "completed"

    def ids(self, name: str, filter: Any = None) -> list[Any]:
        found = self.post(f"/collections/{name}/points/scroll", {"limit": 1000, "filter": filter}).result
        return [point["id"] for point in found["points"]]

    def upload(self, name: str, data: bytes, query: str = "") -> Answer:
        head = b'--edge\r\ncontent-disposition: form-data; name="snapshot"; filename="s"\r\n\r\n'
        kind = {"content-type": "multipart/form-data; boundary=edge"}
        body = head + data + b"\r\n--edge--\r\n"
        return self.ask("POST", f"/collections/{name}/snapshots/upload{query}", body, kind)


@dataclass
class Standin:
    """One storage folder, and at most one process that serves it."""

    storage: Path
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None
    port: int = 0

    def spawn(self) -> subprocess.Popen[str]:
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("QDRANT__")},
            "PYTHONPATH": str(SOURCE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "QDRANT__SERVICE__HOST": "127.0.0.1",
            "QDRANT__SERVICE__HTTP_PORT": "0",
            "QDRANT__STORAGE__STORAGE_PATH": str(self.storage),
            **self.environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qdrant_standin", *self.arguments],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def start(self) -> Client:
        process = self.spawn()
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert " listens on " in line, process.stderr.read()
        self.port = int(line.split(" listens on ")[1].split(",")[0])
        client, until = Client(self.port), time.monotonic() + READY
        while time.monotonic() < until:
            try:
                if client.get("/readyz").status == 200:
                    return Client(self.port, self.storage)
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the stand-in did not become ready")

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """(exit code, what it wrote to its error output)"""
        assert self.process is not None
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=30)
        code, self.process = self.process.returncode, None
        return code, errors
