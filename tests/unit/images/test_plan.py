"""What is built and how, as values: this state, that bake document."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex_ops.images.bases import parse
from cortex_ops.images.plan import Buildable, Place, build_tag, buildables, keep_tag, plan_builds, usable
from cortex_ops.kernel.values import ImageRef
from cortex_ops.stack.load import load_stack

ROOT = Path(__file__).resolve().parents[3]
HERE = Place("engine-1", "linux/amd64", "owner123")
SHARED = Place("engine-1", "linux/amd64", "owner123", "registry.example/team")
API = Buildable("api", Path("/mono"), "api/Dockerfile", "runtime", "test", (("A", "1"),))
WEB = Buildable("web", Path("/mono"), "web/Dockerfile")


def local(fingerprint: str, image: str, engine: str = "engine-1") -> ImageRef:
    return ImageRef(fingerprint=fingerprint, image_id=f"sha256:{image}", engine_id=engine)


def test_what_exists_is_a_hit_and_what_is_new_or_gone_is_built_for_that_reason() -> None:
    known = {"f-web": [local("f-web", "1")], "f-api": []}
    plan = plan_builds(
        [API, WEB], {"api": "f-api", "web": "f-web"}, known, {"sha256:1"}, HERE, revision="r", build_id="b"
    )
    assert list(plan.hits) == ["web"] and plan.misses == ("api",)
    plan = plan_builds([WEB], {"web": "f-web"}, known, set(), HERE, revision="r", build_id="b")
    assert plan.reasons == {"web": "its image is gone"}
    plan = plan_builds([API], {"api": "f-api"}, known, set(), HERE, revision="r", build_id="b")
    assert plan.reasons == {"api": "its content is new"}


def test_another_engines_image_is_no_hit_and_of_several_the_newest_record_is_taken() -> None:
    known = {"f": [local("f", "1", "engine-2"), local("f", "2"), local("f", "3")]}
    plan = plan_builds([WEB], {"web": "f"}, known, {"sha256:1"}, HERE, revision="r", build_id="b")
    assert plan.misses == ("web",)
    plan = plan_builds([WEB], {"web": "f"}, known, {"sha256:2", "sha256:3"}, HERE, revision="r", build_id="b")
    assert plan.hits["web"].image_id == "sha256:3"


def test_in_a_registry_a_hit_is_an_image_of_that_registry_for_this_platform() -> None:
    ref = ImageRef(
        fingerprint="f", repository="registry.example/team/web", digest="sha256:1", platforms={"linux/amd64": "x"}
    )
    assert usable(ref, SHARED)
    assert not usable(ref, HERE)
    assert not usable(ref.model_copy(update={"platforms": {"linux/arm64": "x"}}), SHARED)
    assert not usable(ref.model_copy(update={"repository": "other.example/web"}), SHARED)
    assert not usable(local("f", "1"), SHARED)


def test_the_bake_document_builds_image_and_tests_together_with_labels_secret_and_pinned_bases() -> None:
    plan = plan_builds(
        [API],
        {"api": "f" * 64},
        {},
        set(),
        HERE,
        revision="abc",
        build_id="b1",
        ca_bundle="/etc/ca.pem",
        contexts={"api": {"node:24": "docker-image://mirror/library/node@sha256:1"}},
    )
    shared = {
        "context": "/mono",
        "dockerfile": "api/Dockerfile",
        "args": {"A": "1"},
        "attest": ["type=provenance,disabled=true"],
        "secret": ["id=ca_bundle,src=/etc/ca.pem"],
        "contexts": {"node:24": "docker-image://mirror/library/node@sha256:1"},
    }
    assert plan.document["target"] == {
        "api": {
            **shared,
            "target": "runtime",
            "tags": ["cortex-ops/api:build-b1-owner123"],
            "output": ["type=docker"],
            "labels": {
                "org.opencontainers.image.revision": "abc",
                "org.cortex-ops.fingerprint": "f" * 64,
                "org.cortex-ops.service": "api",
            },
        },
        "api-tests": {**shared, "target": "test", "output": ["type=cacheonly"]},
    }
    assert plan.images == {"api": "api", "api-tests": "api"}


LAYOUT = "type=oci,tar=false,source-date-epoch=1,dest={}"


def test_layers_are_written_beside_the_image_under_another_date_and_only_of_what_is_built() -> None:
    known = {"f-web": [local("f-web", "1")]}
    plan = plan_builds(
        [API, WEB],
        {"api": "f-api", "web": "f-web"},
        known,
        {"sha256:1"},
        HERE,
        revision="r",
        build_id="b",
        contexts={"api": {"node:24": "docker-image://node@sha256:1"}},
        layouts=["api", "web"],
    )
    assert plan.layouts == ("api",)
    assert plan.document["target"]["api"]["output"] == ["type=docker", LAYOUT.format("api")]
    assert plan.document["group"]["default"]["targets"] == ["api", "api-tests"]


def test_layers_of_a_pushed_image_are_of_a_target_of_their_own_so_that_each_says_its_digest() -> None:
    plan = plan_builds([WEB], {"web": "f"}, {}, set(), SHARED, revision="r", build_id="b", layouts=["web"])
    assert plan.document["target"]["web"]["output"] == ["type=registry"]
    assert plan.document["target"]["web_layers"] == {
        "context": "web",
        "dockerfile-inline": "FROM image\n",
        "contexts": {"image": "target:web"},
        "attest": ["type=provenance,disabled=true"],
        "output": [LAYOUT.format("web")],
    }
    assert plan.images == {"web": "web", "web_layers": "web"}
    assert plan.document["group"]["default"]["targets"] == ["web", "web_layers"]


def test_with_a_registry_images_are_pushed_under_a_name_by_content() -> None:
    plan = plan_builds([WEB], {"web": "f" * 64}, {}, set(), SHARED, revision="r", build_id="b")
    target = plan.document["target"]["web"]
    assert target["output"] == ["type=registry"] and target["tags"] == ["registry.example/team/web:" + "f" * 16]


def test_tags_are_of_this_build_until_the_image_has_one_of_its_own() -> None:
    assert build_tag("api", HERE, "f" * 64, "b1") == "cortex-ops/api:build-b1-owner123"
    assert keep_tag("api", HERE, "sha256:0123456789abcdef01") == "cortex-ops/api:keep-0123456789abcdef-owner123"


def test_the_stack_yields_every_service_the_runner_and_the_proxy() -> None:
    stack = load_stack(ROOT / "deploy" / "stack.yaml")
    images = buildables(stack, Path("/mono"), Path("/proxy"))
    assert [image.name for image in images] == [*stack.services, "integration-tests", "edge"]
    assert images[0].context == Path("/mono") and images[-1].context == Path("/proxy")
    assert images[0].size_budget == 400 * 1024**2


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("node:24", "docker.io/library/node@sha256:1"),
        ("qdrant/qdrant:v1", "docker.io/qdrant/qdrant@sha256:1"),
        ("ghcr.io/a/b:1", "ghcr.io/a/b@sha256:1"),
        ("localhost:5000/a", "localhost:5000/a@sha256:1"),
        ("node:24@sha256:2", "docker.io/library/node@sha256:1"),
    ],
)
def test_a_base_image_is_pinned_where_it_lives(text: str, pinned: str) -> None:
    assert parse(text).pinned("sha256:1") == pinned


def test_a_mirror_stands_for_the_public_registry_only() -> None:
    assert parse("node:24").pinned("sha256:1", "mirror:5000") == "mirror:5000/library/node@sha256:1"
    assert parse("ghcr.io/a/b:1").pinned("sha256:1", "mirror:5000") == "ghcr.io/a/b@sha256:1"
    assert parse("node").tag == "latest" and parse("node@sha256:2").digest == "sha256:2"
