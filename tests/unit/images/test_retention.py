"""Which images go, as a table with reasons, decided before anything is removed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cortex_ops.images.retention import Named, plan

NOW = datetime(2026, 1, 10, tzinfo=UTC)


def named(image: str, day: int | None = 1, service: str = "api") -> Named:
    at = datetime(2026, 1, day, tzinfo=UTC) if day else None
    return Named(image_id=image, names=(f"cortex-ops/{service}:keep-{image}-mark",), at=at)


def table(
    images: list[Named], protected: dict[str, str] | None = None, used: set[str] | None = None
) -> dict[str, str]:
    found = plan(images, protected or {}, used or set(), unused=timedelta(days=7), now=NOW)
    return {one.image.image_id: ("removed: " if one.remove else "kept: ") + one.reason for one in found}


def test_a_retained_release_a_container_and_the_newest_keep_an_image_and_what_is_left_goes() -> None:
    images = [named("a"), named("b"), named("c", 1), named("d", 2), named("e", 3)]
    assert table(images, {"a": "release 3 of staging"}, {"b"}) == {
        "a": "kept: release 3 of staging",
        "b": "kept: a container uses it",
        "c": "removed: no retained release names it",
        "d": "kept: one of the 2 newest of api",
        "e": "kept: one of the 2 newest of api",
    }


def test_a_copy_of_a_registry_s_image_is_known_by_its_reference_and_counted_with_its_service() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    references = [f"127.0.0.1:5000/team/api@sha256:{digit * 64}" for digit in "abcd"]
    images = [Named(image_id=f"sha256:{one[-1]}", names=(one,), at=at) for one in references]
    found = table(images, {references[0]: "release 3 of staging"})
    assert found["sha256:a"] == "kept: release 3 of staging"
    assert sorted(found[f"sha256:{one}"].partition(":")[0] for one in "bcd") == ["kept", "kept", "removed"]


def test_the_newest_are_counted_for_each_service() -> None:
    images = [named(f"{service}{day}", day, service) for service in ("api", "web") for day in (1, 2, 3)]
    removed = {image for image, why in table(images).items() if why.startswith("removed")}
    assert removed == {"api1", "web1"}


def test_an_image_goes_when_it_is_as_old_as_the_policy_and_never_when_its_age_is_unknown() -> None:
    spare = [named("x", 10), named("y", 10)]
    images = [*spare, named("seven days", 3), named("six days", 4), named("unknown", None)]
    found = table([*images, named("z", 10)])
    assert found["seven days"] == "removed: no retained release names it"
    assert found["six days"] == found["unknown"] == "kept: younger than the stack file's `retention.unused`"


def test_what_is_spared_does_not_count_what_is_needed_anyway() -> None:
    images = [named("a", 1), named("b", 2), named("live", 3), named("run", 4)]
    found = table(images, {"live": "release 1 of local"}, {"run"})
    assert found["a"] == found["b"] == "kept: one of the 2 newest of api"
