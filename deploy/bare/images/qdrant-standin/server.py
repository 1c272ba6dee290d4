"""A stand-in for Qdrant's HTTP server, for machines that cannot pull its image. Says so at `GET /`.

Serves collections, points, search, scroll, count and aliases as the 1.7 contract has them; anything else gets
501 with a sentence that names the stand-in.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from shards import Collection, Refused, Storage

NAME = "qdrant - stand-in (qdrant-edge)"
VERSION = "1.7.4-standin"
OPEN = {"/", "/healthz", "/livez", "/readyz"}
MAX_BODY = 32 * 1024 * 1024


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    storage: Storage
    api_key = ""

    def handle_any(self) -> None:
        began = time.perf_counter()
        length = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(min(length, MAX_BODY)) if length else b""
        url = urlsplit(self.path)
        try:
            if url.path not in OPEN and self.api_key:
                given = self.headers.get("api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")
                if not hmac.compare_digest(given.encode(), self.api_key.encode()):
                    self.text(403 if given else 401, "Must provide an API key or an Authorization bearer token")
                    return
            if url.path == "/":
                self.json(200, {"title": NAME, "version": VERSION})
                return
            if url.path in OPEN:
                self.text(200, "healthz check passed")
                return
            try:
                body = json.loads(raw) if raw else {}
            except ValueError as error:
                raise Refused(400, f"Format error in JSON body: {error}") from error
            parts = [unquote(p) for p in url.path.strip("/").split("/")]
            result = route(self.storage, self.command, parts, body, parse_qs(url.query))
            self.json(200, {"result": result, "status": "ok", "time": time.perf_counter() - began})
        except Refused as error:
            document = {"status": {"error": error.message}, "time": time.perf_counter() - began}
            self.json(error.status, document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            document = {"status": {"error": f"Wrong input: {error}"}, "time": time.perf_counter() - began}
            self.json(400, document)

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = handle_any

    def json(self, status: int, document: Any) -> None:
        self.send(status, json.dumps(document).encode(), "application/json")

    def text(self, status: int, text: str) -> None:
        self.send(status, text.encode(), "text/plain")

    def send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        return  # one line per request would drown what matters


def route(storage: Storage, method: str, parts: list[str], body: Any, query: dict[str, list[str]]) -> Any:
    if parts == ["collections"] and method == "GET":
        return {"collections": [{"name": name} for name in sorted(storage.collections)]}
    if parts == ["collections", "aliases"] and method == "POST":
        storage.change_aliases(body["actions"])
        return True
    if parts == ["aliases"] and method == "GET":
        return {"aliases": _aliases(storage.aliases)}
    if parts[0] == "collections" and len(parts) == 2:
        if method == "PUT":
            storage.create(parts[1], body)
            return True
        if method == "DELETE":
            return storage.drop(parts[1])
        if method == "GET":
            return describe(storage.get(parts[1]))
    if parts[0] == "collections" and len(parts) >= 3:
        collection = storage.get(parts[1])
        if parts[2:] == ["aliases"] and method == "GET":
            name = storage.aliases.get(parts[1], parts[1])
            return {"aliases": _aliases({a: c for a, c in storage.aliases.items() if c == name})}
        if parts[2] == "points":
            return points(collection, method, parts[3:], body)
    raise Refused(501, f"{NAME} does not serve {method} /{'/'.join(parts)}")


def points(collection: Collection, method: str, rest: list[str], body: Any) -> Any:
    done = {"operation_id": 0, "status": "completed"}
    if not rest and method == "PUT":
        collection.upsert(body["points"])
        return done
    if not rest and method == "POST":
        return collection.retrieve(body["ids"], body.get("with_payload", True), bool(body.get("with_vector")))
    if rest == ["delete"] and method == "POST":
        collection.delete(body)
        return done
    if rest == ["search"] and method == "POST":
        return collection.search(body)
    if rest == ["scroll"] and method == "POST":
        return collection.scroll(body)
    if rest == ["count"] and method == "POST":
        return {"count": collection.count(body)}
    if len(rest) == 1 and method == "GET":
        number = int(rest[0]) if rest[0].isdigit() else rest[0]
        found = collection.retrieve([number], True, True)
        if not found:
            raise Refused(404, f"Not found: Point with id {rest[0]} does not exists!")
        return found[0]
    raise Refused(501, f"{NAME} does not serve {method} on points/{'/'.join(rest)}")


def _aliases(found: dict[str, str]) -> list[dict[str, str]]:
    return [{"alias_name": a, "collection_name": c} for a, c in sorted(found.items())]


def describe(collection: Collection) -> dict[str, Any]:
    """Counts are the engine's; tuning values are those of a default server, since an edge shard has none."""
    count = collection.count({})
    return {
        "status": "green",
        "optimizer_status": "ok",
        "vectors_count": count,
        "indexed_vectors_count": 0,
        "points_count": count,
        "segments_count": 1,
        "config": {
            "params": {"vectors": collection.params["vectors"], "shard_number": 1, "replication_factor": 1},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
        },
        "payload_schema": {},
    }


def settings(arguments: list[str]) -> tuple[str, int, Path]:
    """(api key, port, storage folder) from `--config-path FILE` below the variables that the server reads."""
    parser = argparse.ArgumentParser(prog="qdrant")
    parser.add_argument("--config-path", type=Path)
    chosen = parser.parse_args(arguments)
    text = chosen.config_path.read_text() if chosen.config_path else ""
    match = re.search(r"^\s*api_key:\s*(.+?)\s*$", text, re.M)
    written = match[1] if match else ""
    key = json.loads(written) if written.startswith('"') else written
    key = os.environ.get("QDRANT__SERVICE__API_KEY", key)
    folder = os.environ.get("QDRANT__STORAGE__STORAGE_PATH", "/qdrant/storage")
    return key, int(os.environ.get("QDRANT__SERVICE__HTTP_PORT", "6333")), Path(folder)


def main() -> int:
    Handler.api_key, port, folder = settings(sys.argv[1:])
    Handler.storage = Storage(folder)
    server = ThreadingHTTPServer((os.environ.get("QDRANT__SERVICE__HOST", "0.0.0.0"), port), Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"{NAME} listens on {port}, data in {folder}", flush=True)
    server.serve_forever()
    Handler.storage.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
