"""What the builder prints becomes one sentence: which image, which step, why. Its output here is the real one's."""

from __future__ import annotations

from cortex_ops.adapters.build_log import BuildLog
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.progress import SILENT, Progress

IMAGES = {"api": "api", "api-tests": "api", "web": "web"}
FILES = {"api": "apps/api/Dockerfile", "web": "apps/web/Dockerfile"}

TESTS_FAIL = """\
#9 [api 1/2] FROM docker.io/library/node:24-bookworm-slim@sha256:9cda
#9 CACHED

#11 [api-tests deps 2/2] RUN echo "working [ok] now" && sleep 1
#11 DONE 1.1s

#13 [web] exporting to image
#13 exporting layers 0.0s done
#13 DONE 0.1s

#16 [api-tests test 1/1] RUN ["node", "--test"]
#16 0.100 not ok 1 - adds
#16 0.100 Error: expected 2
#16 0.101 ---
#16 ERROR: process "node --test" did not complete successfully: exit code: 3

#17 [api] exporting to image
#17 CANCELED
------
 > [api-tests test 1/1] RUN ["node", "--test"]:
0.100 not ok 1 - adds
------
Dockerfile:4
--------------------
   4 | >>> RUN ["node", "--test"]
--------------------
ERROR: target api-tests: failed to solve: process "node --test" did not complete successfully: exit code: 3
"""

COPY_FAILS = """\
#6 [2/2] COPY nothere /x
#6 ERROR: failed to calculate checksum of ref qvif::pxmk: "/nothere": not found

#7 [1/2] FROM docker.io/library/node:24-bookworm-slim@sha256:9cda
#7 CANCELED
------
 > [2/2] COPY nothere /x:
------
Dockerfile:2
--------------------
ERROR: failed to solve: failed to compute cache key: failed to calculate checksum of ref qvif::pxmk: \
"/nothere": not found
"""

BASE_MISSING = """\
#3 [web internal] load metadata for ghcr.io/nobody/nothing:1
#3 ERROR: ghcr.io/nobody/nothing:1: not found

#4 [api internal] load metadata for docker.io/library/node:24-bookworm-slim
#4 CANCELED
------
 > [web internal] load metadata for ghcr.io/nobody/nothing:1:
------
Dockerfile:3
--------------------
ERROR: target web: failed to solve: ghcr.io/nobody/nothing:1: failed to resolve source metadata for \
ghcr.io/nobody/nothing:1: ghcr.io/nobody/nothing:1: not found
"""

SYNTAX = """\
#2 [internal] load build definition from Dockerfile
#2 DONE 0.0s
Dockerfile:2
--------------------
   2 | >>> RUNN x
--------------------
ERROR: failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)
"""


def read(
    text: str, images: dict[str, str] = IMAGES, progress: Progress = SILENT, named: list[str] | None = None
) -> BuildLog:
    log = BuildLog(progress, images, FILES, (named if named is not None else []).append)
    for line in text.splitlines():
        log.line(line)
    return log


def test_an_image_is_named_once_the_engine_has_it() -> None:
    named: list[str] = []
    begun = "#9 [api] exporting to image\n#9 naming to docker.io/cortex-ops/api:build-1 0.0s\n"
    read(begun, named=named)
    assert named == []
    ended = "#9 naming to docker.io/cortex-ops/api:build-1 0.0s done\n#9 naming to host:5/x:1 done\n"
    read(begun + ended, named=named)
    assert named == ["cortex-ops/api:build-1", "host:5/x:1"]


def explained(text: str, images: dict[str, str] = IMAGES) -> OpsError:
    return read(text, images).explain(OpsError("building the images failed (exit 1)"))


def test_failing_tests_name_image_step_file_and_line_and_show_what_they_said() -> None:
    error = explained(TESTS_FAIL)
    step = '`RUN ["node", "--test"]`'
    assert error.message == (
        f"the tests of image api failed in step {step} (apps/api/Dockerfile:4): Error: expected 2"
    )
    assert "not ok 1 - adds" in error.details


def test_a_step_without_output_gives_the_builders_reason_without_its_hashes() -> None:
    error = explained(COPY_FAILS, {"web": "web"})
    assert error.message == (
        'building web failed in step `COPY nothere /x` (apps/web/Dockerfile:2): "/nothere": not found'
    )


def test_a_base_image_that_does_not_exist_is_named_with_the_line_that_names_it() -> None:
    error = explained(BASE_MISSING)
    assert error.message == (
        "base image ghcr.io/nobody/nothing:1, named at apps/web/Dockerfile:3, does not exist or cannot be pulled"
    )


def test_a_dockerfile_that_is_none_names_the_line() -> None:
    error = explained(SYNTAX, {"web": "web"})
    assert error.message == (
        "building web failed at apps/web/Dockerfile:2: dockerfile parse error on line 2: "
        "unknown instruction: RUNN (did you mean RUN?)"
    )


def test_a_full_disk_has_its_own_sentence() -> None:
    error = explained("#5 [api 2/3] RUN x\n#5 0.1 cp: write error: no space left on device\n#5 ERROR: exit code: 1\n")
    assert error.message == "the build ran out of disk space"


def test_a_push_that_is_refused_blames_the_registry_and_not_a_base_image() -> None:
    error = explained(
        "#3 [web internal] load metadata for docker.io/library/node:24\n#3 DONE 0.1s\n"
        "#9 [web] exporting to image\n"
        "#9 ERROR: failed to push reg.example/team/web:f: authorization failed: no basic auth credentials\n"
    )
    assert error.message == "the registry reg.example asks for a login that may use reg.example/team/web:f"


def test_each_image_has_the_seconds_of_its_own_steps_and_each_step_is_said_once() -> None:
    lines: list[str] = []
    log = read(TESTS_FAIL + TESTS_FAIL, progress=Progress(sink=lines.append))
    assert log.seconds == {"api": 2.2, "web": 0.2}
    assert sum("sleep 1" in line for line in lines) == 1
    assert read("#5 [2/2] RUN x\n#5 DONE 3.5s\n", {"web": "web"}).seconds == {"web": 3.5}
