"""Renderings are pure, hardened, and read by others as they were written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.kernel.values import ImageLock, ImageRef, Placement
from cortex_ops.render.compose import RenderInputs, render_compose, render_development
from cortex_ops.render.compose.readme import with_readme
from cortex_ops.render.yaml_output import to_yaml
from cortex_ops.secrets.delivery import consumers
from cortex_ops.stack.environments import resolve
from cortex_ops.stack.load import load_stack_text

FILE = Path(__file__).resolve().parents[3] / "deploy" / "stack.yaml"
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30) | st.sampled_from(
    ["y", "on", "0o17", "1234567e8", "0899123", "9022:22", "~", "null", "", " ", "- a", "#x", "a: b", "1.0", "0x1f"]
)


Change = Callable[[dict[str, Any]], Any]


def nothing(_document: dict[str, Any]) -> None:
    """The sample as it is."""


def inputs(change: Change = nothing, environment: str = "local") -> RenderInputs:
    document = yaml.safe_load(FILE.read_text())
    change(document)
    stack = load_stack_text(json.dumps(document), FILE)
    names = [*stack.services, *stack.stores, "edge", "integration-tests"]
    lock = ImageLock(
        source_revision="r",
        source_dirty=False,
        images={n: ImageRef(fingerprint=n, image_id=f"sha256:{n}", engine_id="e", user="1000:1000") for n in names},
    )
    versions = dict.fromkeys(consumers(stack), "0123456789ab")
    return RenderInputs(stack=stack, environment=resolve(stack, environment), lock=lock, secret_versions=versions)


def documents(placement: Placement, change: Change = nothing) -> dict[str, dict[str, Any]]:
    files = render_compose(inputs(change), placement).files
    return {part: yaml.safe_load(files[f"{part}/compose.yaml"]) for part in ("stores", "edge", "release")}


def development(change: Change = nothing) -> dict[str, Any]:
    return dict(yaml.safe_load(render_development(inputs(change, "dev"), Path("/mono")).files["compose.yaml"]))


@given(st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS, max_size=3) | st.integers() | st.booleans(), max_size=6))
def test_what_is_written_is_what_a_reader_reads(value: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(value)) == value


def test_the_same_inputs_give_the_same_bytes() -> None:
    assert render_compose(inputs()).content_hash() == render_compose(inputs()).content_hash()


def test_every_container_is_hardened() -> None:
    for part, document in documents(Placement(seq=3, slot="b")).items():
        for name, service in document["services"].items():
            assert service["read_only"] and service["cap_drop"] == ["ALL"], (part, name)
            assert (
                "no-new-privileges:true" in service["security_opt"] and "seccomp=builtin" in service["security_opt"]
            )
            assert int(service["mem_limit"]) > 0 and float(service["cpus"]) > 0 and service["user"]


def test_only_the_proxy_publishes_ports_and_only_on_the_environments_address() -> None:
    found = documents(Placement(seq=3, slot="b"))
    for part in ("stores", "release"):
        assert not any("ports" in s for s in found[part]["services"].values())
    assert found["edge"]["services"]["edge"]["ports"] == ["127.0.0.1:8080:8080/tcp", "127.0.0.1:3001:3001/tcp"]


def test_plain_names_are_aliases_on_the_releases_own_network_only() -> None:
    release = documents(Placement(seq=3, slot="b"))["release"]
    assert release["networks"]["release"] == {"internal": True}
    for key, service in release["services"].items():
        assert key.endswith("-r3")
        plain = key.removesuffix("-r3")
        for network, options in service["networks"].items():
            aliases = (options or {}).get("aliases", [])
            assert (plain in aliases) == (network == "release"), (key, network)


def test_only_what_calls_the_host_or_the_edge_can_leave() -> None:
    release = documents(Placement(seq=3, slot="b"))["release"]
    leaving = {key for key, service in release["services"].items() if "egress" in service["networks"]}
    assert leaving == {"model-gateway-r3"}


def test_what_calls_the_host_finds_it_where_the_platform_does_not_name_it() -> None:
    services = documents(Placement(seq=3, slot="b"))["release"]["services"]
    found = {key for key, service in services.items() if "extra_hosts" in service}
    assert found == {"model-gateway-r3"}
    assert services["model-gateway-r3"]["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert "extra_hosts" in development()["services"]["model-gateway"]


def expose(document: dict[str, Any]) -> None:
    """`api` cannot read files for one of its secrets."""
    document["services"]["api"] |= {"exposure": {"TOKEN_KEY_FILE": "env"}, "command": ["node", "a b.mjs", "$x"]}


def test_an_exposed_secret_is_read_by_the_shell_that_becomes_the_program() -> None:
    api = documents(Placement(seq=3, slot="b"), expose)["release"]["services"]["api-r3"]
    script = 'TOKEN_KEY_FILE="$$(cat /run/secrets/token-key)" || exit 1; export TOKEN_KEY_FILE; exec "$$@"'
    assert api["entrypoint"] == [] and api["command"] == ["sh", "-c", script, "sh", "node", "a b.mjs", "$$x"]
    assert "TOKEN_KEY_FILE" not in api["environment"]
    assert api["environment"]["WEBHOOK_SECRET_FILE"] == "/run/secrets/webhook-secret"
    assert development(expose)["services"]["api"]["command"] == api["command"]


def test_what_is_not_exposed_starts_as_its_image_says() -> None:
    for service in documents(Placement(seq=3, slot="b"))["release"]["services"].values():
        assert "entrypoint" not in service


def test_a_build_secret_is_taken_from_the_builders_environment_in_development() -> None:
    def change(document: dict[str, Any]) -> None:
        document["secrets"]["npm-token"] = {"from": "env", "variable": "NPM_TOKEN"}
        document["services"]["api"]["build"]["secrets"] = {"npm": "npm-token"}

    document = development(change)
    assert document["services"]["api"]["build"]["secrets"] == [{"source": "build-npm-token", "target": "npm"}]
    assert document["secrets"]["build-npm-token"] == {"environment": "NPM_TOKEN"}


def alone(change: Change) -> set[str]:
    services = documents(Placement(seq=3, slot="b"), change)["release"]["services"]
    return {key for key, one in services.items() if one["labels"].get("org.cortex-ops.handover") == "stop_start"}


def test_what_never_runs_twice_says_so_in_its_label() -> None:
    def one(document: dict[str, Any]) -> None:
        document["services"]["agents"]["handover"] = "stop_start"

    def small(document: dict[str, Any]) -> None:
        document["environments"]["local"]["strategy"] = "recreate"

    assert alone(nothing) == set()
    assert alone(one) == {"agents-r3"}
    assert alone(small) == {f"{name}-r3" for name in yaml.safe_load(FILE.read_text())["services"]}


def make_optional(document: dict[str, Any]) -> None:
    for name in ("agents", "mcp-registry", "cortex-web"):
        document["services"][name]["optional"] = True
    document["tests"]["env"] = {"API_URL": "route:api"}


def test_an_optional_service_is_left_out_of_a_release_with_its_route_and_its_secrets() -> None:
    given = inputs(make_optional)
    files = render_compose(given, Placement(seq=3, slot="b")).files
    text = "".join(files.values())
    assert "agents" not in text and "cortex-web-" not in text
    assert not {"agents", "mcp-registry", "cortex-web"} & set(consumers(given.stack))


def test_optional_parts_are_profiles_in_development() -> None:
    document = development(make_optional)
    services = document["services"]
    assert {name: s["profiles"] for name, s in services.items() if "profiles" in s} == {
        "agents": ["agents"],
        "mcp-registry": ["mcp-registry"],
        "cortex-web": ["cortex-web"],
        "ollama": ["ollama"],
    }
    waits = services["agents"]["depends_on"]
    assert waits["mcp-registry"] == {"condition": "service_healthy", "required": False}
    assert waits["nats"] == {"condition": "service_healthy"}


def test_an_optional_host_service_runs_on_the_host_or_in_its_profile() -> None:
    document = development()
    ollama = document["services"]["ollama"]
    assert ollama["ports"] == ["127.0.0.1:11434:11434"] and ollama["volumes"] == ["ollama-data:/root/.ollama"]
    env = document["services"]["model-gateway"]["environment"]
    assert env["OLLAMA_URL"] == "http://${CORTEX_OLLAMA_HOST:-host.docker.internal}:11434"
    assert env["MLX_BASE_URL"] == "http://host.docker.internal:8081"
    given = inputs(environment="dev")
    readme = with_readme(render_development(given, Path("/mono")), given).files["README.md"]
    assert "    CORTEX_OLLAMA_HOST=ollama docker compose --profile ollama up" in readme
