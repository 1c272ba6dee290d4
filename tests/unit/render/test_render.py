"""Renderings are pure, hardened, and read by others as they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.kernel.values import ImageLock, ImageRef, Placement
from cortex_ops.render.compose import RenderInputs, render_compose
from cortex_ops.render.yaml_output import to_yaml
from cortex_ops.secrets.delivery import consumers
from cortex_ops.stack.environments import resolve
from cortex_ops.stack.load import load_stack

FILE = Path(__file__).resolve().parents[3] / "deploy" / "stack.yaml"
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30) | st.sampled_from(
    ["y", "on", "0o17", "1234567e8", "0899123", "9022:22", "~", "null", "", " ", "- a", "#x", "a: b", "1.0", "0x1f"]
)


def inputs() -> RenderInputs:
    stack = load_stack(FILE)
    names = [*stack.services, *stack.stores, "edge", "integration-tests"]
    lock = ImageLock(
        source_revision="r",
        source_dirty=False,
        images={n: ImageRef(fingerprint=n, image_id=f"sha256:{n}", engine_id="e", user="1000:1000") for n in names},
    )
    versions = dict.fromkeys(consumers(stack), "0123456789ab")
    return RenderInputs(stack=stack, environment=resolve(stack, "local"), lock=lock, secret_versions=versions)


def documents(placement: Placement) -> dict[str, dict[str, Any]]:
    files = render_compose(inputs(), placement).files
    return {part: yaml.safe_load(files[f"{part}/compose.yaml"]) for part in ("stores", "edge", "release")}


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
