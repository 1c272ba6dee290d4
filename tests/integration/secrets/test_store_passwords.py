"""Whatever characters a password has, each store takes exactly that one: the real images, started by hand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cortex_ops import pipeline
from cortex_ops.wiring import Wiring
from tests.support.engine import docker, docker_env, record
from tests.support.tiny import Tiny, tiny_project

STORES = {
    "postgres": {
        **{"kind": "postgres", "image": "postgres:15", "user": 999, "secret": "postgres-password", "volume": "1Gi"},
        **{"database": "app", "owner": "app"},
    },
    "redis": {"kind": "redis", "image": "redis:7", "user": 999, "secret": "redis-password", "volume": "1Gi"},
    "nats": {"kind": "nats", "image": "nats:2.10-alpine", "user": 1000, "secret": "nats-token", "volume": "1Gi"},
}
FIRST = " $a 'b' \"c\" \\d:e#{é} 鍵 "  # Postgres takes its password once, when its data folder is made
PSQL = "IFS= read -r PGPASSWORD; export PGPASSWORD; exec psql -w -h postgres -U app -d app -Atc 'SELECT current_user'"
# Asks both servers with a password from standard input and prints what each says to it.
CLIENT = """
const net = require('net')
const password = require('fs').readFileSync(0)
const talk = (host, port, send, done) => new Promise((resolve, reject) => {
  let text = ''
  const socket = net.connect(port, host, () => send(socket))
  socket.on('data', data => { text += data; if (done.test(text)) { socket.destroy(); resolve(text) } })
  socket.on('close', () => resolve(text)).on('error', reject)
})
const connect = JSON.stringify({ verbose: false, pedantic: false, auth_token: password.toString() })
Promise.all([
  talk('redis', 6379, s => {
    s.write(`*2\\r\\n$4\\r\\nAUTH\\r\\n$${password.length}\\r\\n`); s.write(password); s.write('\\r\\n')
  }, /\\r\\n/),
  talk('nats', 4222, s => s.write(`CONNECT ${connect}\\r\\nPING\\r\\n`), /PONG|-ERR/),
]).then(([redis, nats]) => console.log(JSON.stringify({ redis, nats })))
"""


@dataclass
class Stores:
    tiny: Tiny
    wiring: Wiring

    def start(self, password: str) -> None:
        """What the rendered README says to type, with these values in the secret files."""
        for name in ("redis-password", "nats-token"):
            (self.tiny.root / "secrets" / name).write_bytes(password.encode() + b"\n")
        pipeline.apply_secrets(self.wiring, "local")
        for name, text in pipeline.render_for_hand(self.wiring, "local").files.items():
            path = self.tiny.root / "hand" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        file = str(self.tiny.root / "hand" / "stores" / "compose.yaml")
        docker("compose", "-p", f"{self.tiny.prefix}-stores", "-f", file, "up", "--wait", "--wait-timeout", "60")

    def ask(self, password: str) -> dict[str, str]:
        network, image = f"{self.tiny.prefix}-stores", self.image()
        argv = [record()["docker"], "run", "--rm", "-i", "--network", network, image, "node", "-e", CLIENT]
        done = subprocess.run(argv, env=docker_env(), input=password.encode(), capture_output=True, check=True)
        return dict(json.loads(done.stdout))

    def psql(self, password: str) -> subprocess.CompletedProcess[str]:
        network, image = f"{self.tiny.prefix}-stores", self.image("postgres")
        argv = ["run", "--rm", "-i", "--network", network, "--entrypoint", "sh", image, "-c", PSQL]
        return subprocess.run(
            [record()["docker"], *argv],
            env=docker_env(),
            input=password + "\n",
            capture_output=True,
            text=True,
            check=False,
        )

    def image(self, name: str = "api") -> str:
        data = self.wiring.store.get(f"runs/{self.wiring.run_id}/inputs.json")
        assert data is not None
        return pipeline.Inputs.from_json(data).lock.images[name].reference()


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with tiny_project(tmp_path_factory.mktemp("passwords")) as tiny:
        (tiny.root / "secrets").mkdir()
        names = [store["secret"] for store in STORES.values()]
        tiny.stack({"stores": STORES, "secrets": {str(name): {"from": "file"} for name in names}})
        (tiny.root / "secrets" / "postgres-password").write_text(FIRST + "\n")
        wiring = tiny.wire()
        pipeline.build(wiring, "local")
        yield Stores(tiny, wiring)


@pytest.mark.parametrize(
    "password",
    [
        "an-ordinary-one",
        "quo\"te 'single' back\\slash \\x41\\n",
        " # no comment; $HOME ${HOME} %s {}[],: ",
        "schlüssel-鍵-🔑",
        "12345678",
        '"true"',
        "tab\there",
    ],
)
def test_a_password_arrives_exactly(stores: Stores, password: str) -> None:
    stores.start(password)
    right, wrong = stores.ask(password), stores.ask(password + "x")
    assert right["redis"] == "+OK\r\n" and "PONG" in right["nats"] and "-ERR" not in right["nats"]
    assert wrong["redis"].startswith("-WRONGPASS") and "Authorization Violation" in wrong["nats"]


def test_postgres_takes_its_first_password_exactly(stores: Stores) -> None:
    stores.start("an-ordinary-one")
    assert stores.psql(FIRST).stdout == "app\n"
    refused = stores.psql(FIRST.strip())
    assert refused.returncode != 0 and "password authentication failed" in refused.stderr
