"""What the sample's files promise: nothing here starts a container."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "examples" / "cortex-os"
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "stack.yaml").read_text())["services"]


def test_the_lock_file_pins_every_package_by_content_and_names_no_registry() -> None:
    packages = json.loads((SAMPLE / "package-lock.json").read_text())["packages"]
    fetched = {name: one for name, one in packages.items() if "node_modules/" in name and not one.get("link")}
    assert fetched
    assert [name for name, one in fetched.items() if "resolved" in one] == []
    assert [name for name, one in fetched.items() if not one.get("integrity", "").startswith("sha512-")] == []


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_made_in_stages_tests_itself_in_one_and_leaves_another(service: str) -> None:
    build = SERVICES[service]["build"]
    text = (SAMPLE / build["dockerfile"]).read_text()
    stages = re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE)
    assert stages == ["deps", "test", "runtime"]
    assert build["test_stage"] == "test"
    assert "target" not in build, "what runs is the last stage"


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_bundles_exactly_the_libraries_that_the_stack_file_names(service: str) -> None:
    text = (SAMPLE / SERVICES[service]["build"]["dockerfile"]).read_text()
    _, runtime = text.split(" AS runtime\n")
    copied = set(re.findall(r"^COPY --chown=1000:1000 packages/(\S+) packages/", runtime, re.MULTILINE))
    own = Path(SERVICES[service]["path"]).name
    assert copied - {own} == set(SERVICES[service]["bundles"])
