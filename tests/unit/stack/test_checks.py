"""What the parts of a stack file must fit together to: each mistake is found where it stands, all in one run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cortex_ops.stack.environments import resolve
from cortex_ops.stack.load import StackError, load_stack_text

FILE = Path(__file__).resolve().parents[3] / "deploy" / "stack.yaml"
TEXT = FILE.read_text()

SMALL = """\
version: "1"
name: demo
source: { path: ../mono }
services:
  api:
    path: api
    build: { dockerfile: api/Dockerfile }
    port: "8080"
    route: { port: "8080" }
  worker:
    path: worker
    build: { dockerfile: worker/Dockerfile }
    port: "9000"
environments:
  local: {}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(StackError) as caught:
        load_stack_text(text, Path("s.yaml"))
    return caught.value.located


def changed(old: str, new: str, text: str = SMALL) -> list[str]:
    assert old in text
    return problems(text.replace(old, new, 1))


def test_the_small_file_is_valid_as_it_is() -> None:
    assert set(load_stack_text(SMALL, FILE).services) == {"api", "worker"}


def test_mistakes_of_type_and_of_meaning_are_reported_in_one_run() -> None:
    text = SMALL.replace('port: "9000"', "port: 9000").replace("path: api\n", "path: ../api\n")
    text = text.replace("local: {}", "local: { ports: { worker: '80' }, colour: red }")
    assert [line.split(": ")[1] for line in problems(text)] == [
        "services.api.path",
        "services.worker.port",
        "environments.local.ports.worker",
        "environments.local.colour",
    ]


def test_a_mistake_in_the_text_itself_does_not_hide_the_others() -> None:
    found = changed("    path: worker\n", "    path: worker\n    path: again\n    replicas: none\n")
    assert [line.split(": ")[1] for line in found] == ["services.worker.path", "services.worker.replicas"]


def test_what_is_only_wrong_because_of_another_mistake_is_not_reported() -> None:
    text = SMALL.replace('    port: "9000"\n', '    port: "9000"\n    calls: [api, apy]\n')
    assert len(problems(text.replace("  api:\n", "  api: 7\n  apy2:\n"))) == 1


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("9022:22", "'9022:22'"),
        ("8080", "8080 (a number)"),
        ("0o17", "'0o17'"),
        ("017", "017 (a number)"),
        ("1234567e8", "'1234567e8'"),
        ("1_000", "'1_000'"),
        ("yes", "yes (a truth value)"),
        ("y", "'y'"),
        ("2026-01-01", "'2026-01-01'"),
        ("0", "0 (a number)"),
        ('"70000"', "'70000'"),
        ('"08080"', "'08080'"),
        ('" 8080"', "' 8080'"),
        ('"8080\\n"', "'8080\\n'"),
        ('"٨٠٨٠"', "'٨٠٨٠'"),
    ],
)
def test_what_is_no_port_is_shown_as_it_was_written(written: str, shown: str) -> None:
    (found,) = changed('port: "9000"', f"port: {written}")
    assert found.startswith("s.yaml:13:11: services.worker.port: found " + shown), found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("replicas", "1000000"),
        ("replicas", "0"),
        ("resources", "{ memory: 9999999999Gi }"),
        ("resources", "{ memory: 256 }"),
        ("resources", '{ memory: "256" }'),
        ("resources", "{ memory: 0Mi }"),
        ("resources", '{ cpu: "0" }'),
        ("resources", '{ cpu: "1e3" }'),
        ("resources", '{ cpu: "99999" }'),
        ("resources", "{ cpu: 5000000000m }"),
        ("resources", "{ pids: 99999999999999999999 }"),
        ("scale", "{ min: 1, max: 99999 }"),
        ("scale", "{ min: 3, max: 2 }"),
        ("scale", "{ min: 1.5, max: 2 }"),
    ],
)
def test_a_quantity_out_of_bounds_is_refused_before_an_engine_sees_it(key: str, value: str) -> None:
    found = changed('port: "9000"', f'port: "9000"\n    {key}: {value}')
    assert len(found) == 1 and f"services.worker.{key}" in found[0], found


@pytest.mark.parametrize("value", ["24", "0h", "1w", "99999d", "-1h", "1.5h", "1h30m", " 24h"])
def test_a_span_that_is_none_is_refused(value: str) -> None:
    assert "24h, 30m or 7d" in changed("recovery_point: 24h", f'recovery_point: "{value}"', TEXT)[0]


@pytest.mark.parametrize(
    "value", ["* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "*/0 * * * *", "5-1 * * * *", "@daily", "a * * * *"]
)
def test_a_schedule_that_is_none_is_refused(value: str) -> None:
    assert "backup.schedule" in changed('schedule: "0 3 * * *"', f'schedule: "{value}"', TEXT)[0]


@pytest.mark.parametrize("name", ["my_api", "ICM", "18083", "-api", "api-", "a--b", "é", "a" * 31, "edge"])
def test_a_name_that_not_every_target_takes_is_refused(name: str) -> None:
    assert any(f"services.{name}: " in line for line in changed("  worker:\n", f'  "{name}":\n'))


@pytest.mark.parametrize("name", ["api.v1", "a b", "api\n", "", "a" * 500])
def test_a_key_that_is_no_word_is_shown_as_it_was_meant(name: str) -> None:
    found = changed("  worker:\n", f"  {json.dumps(name)}:\n")
    assert any(f": services[{name!r}]: found " in line for line in found) and "\n" not in "".join(found)


def test_of_two_names_that_one_target_would_take_for_one_the_odd_one_is_refused() -> None:
    (found,) = changed(
        "  worker:\n", "  my_api:\n    path: x\n    build: { dockerfile: x }\n    port: '1'\n  my-api:\n"
    )
    assert "services.my_api" in found and "lower-case" in found


def test_a_name_that_is_taken_in_another_group_is_refused() -> None:
    found = changed("environments:", "host_services: { api: { port: '1' } }\nenvironments:")
    assert "a name that does not collide with services.api" in found[0]


@pytest.mark.parametrize("name", ["api-a", "api-b", "api-none", "api-candidate"])
def test_a_name_that_the_proxy_gives_to_a_part_of_another_service_is_refused(name: str) -> None:
    assert "another name" in changed("  worker:\n", f"  {name}:\n")[0]


def test_environments_whose_projects_would_share_a_name_are_refused() -> None:
    assert "no part of local's projects" in changed("  local: {}", "  local: {}\n  local-edge: {}")[0]
    assert "no part of local's projects" in changed("  local: {}", "  local: {}\n  local-r12: {}")[0]


def test_a_service_may_be_called_env() -> None:
    text = SMALL.replace("  worker:\n", "  env:\n")
    assert load_stack_text(text, FILE).services["env"].port == "9000"
    (found,) = problems(text.replace('port: "9000"', "port: 9000"))
    assert "services.env.port: found 9000 (a number)" in found


@pytest.mark.parametrize(
    ("written", "read"),
    [("Y", "Y"), ("on", "on"), ("0o17", "0o17"), ("1234567e8", "1234567e8"), ("0899123", "0899123"), ("y", "y"),
     ("9022:22", "9022:22"), ("1.10", "1.10"), ("2026-01-01", "2026-01-01"), ("0x1F", "0x1F"), ("1_000", "1_000"),
     ('"$HOME"', "$HOME"), ('"a $5 note"', "a $5 note")],
)  # fmt: skip
@pytest.mark.parametrize("place", ["service", "override", "tests"])
def test_a_variable_holds_what_was_written(written: str, read: str, place: str) -> None:
    env = f"env: {{ A: {written} }}"
    text = {
        "service": SMALL.replace('port: "9000"', f'port: "9000"\n    {env}'),
        "override": SMALL.replace("local: {}", f"local: {{ overrides: {{ worker: {{ {env} }} }} }}"),
        "tests": SMALL + f"tests: {{ path: t, build: {{ dockerfile: t/Dockerfile }}, {env} }}\n",
    }[place]
    stack = load_stack_text(text, FILE)
    tests = stack.tests.env if stack.tests is not None else {}
    assert {**resolve(stack, "local").env["worker"], **tests} == {"A": read}


def test_an_empty_variable_is_asked_for_in_quotes() -> None:
    assert "found nothing, expected text" in changed('port: "9000"', 'port: "9000"\n    env: { A: }')[0]


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("${BAR?:default}", "`:?` for a required or `:-`"),
        ("${BAR:-x}", "overrides"),
        ("http://${HOST}/", "overrides"),
    ],
)
def test_an_interpolation_is_refused_with_what_to_do_instead(written: str, advice: str) -> None:
    (found,) = changed('port: "9000"', f'port: "9000"\n    env: {{ A: "{written}" }}')
    assert "nothing is interpolated here" in found and advice in found


def test_a_value_of_several_lines_is_refused_with_the_advice_to_use_a_secret() -> None:
    (found,) = changed('port: "9000"', 'port: "9000"\n    env: { KEY: "-----BEGIN-----\\nabc\\n" }')
    assert "give a key or certificate as a secret" in found and "abc" not in found


@pytest.mark.parametrize("path", ["tmp", "/", "/a/../b", "/run/secrets", "/run", "/run/secrets/x", "/a:ro", ""])
def test_a_writable_path_that_cannot_work_is_refused(path: str) -> None:
    assert "services.worker.writable[0]" in changed('port: "9000"', f'port: "9000"\n    writable: ["{path}"]')[0]


ONE_WRITER = SMALL.replace('port: "9000"', 'port: "9000"\n    volumes: [{ path: /data, size: 1Gi }]')


@pytest.mark.parametrize(
    ("environments", "said"),
    [
        ("local: { bind: localhost }", "an address, such as 127.0.0.1"),
        ("local: { protected: true }", "the environment whose tested images it takes"),
        ("local: { from: local }\n  other: {}", "one of other"),
        ("local: { from: other }\n  other: { from: local }", "a circle"),
        ("local: { from: dev }\n  dev: { mode: development }", "an environment that releases go to"),
        ("local: { ports: { worker: '80' } }", "one of the routed api"),
        ("local: { overrides: { wroker: {} } }", "one of api, worker"),
        ("local: { overrides: { worker: { replicas: 2 } } }", "a service with a volume for one writer"),
    ],
)
def test_an_environment_that_cannot_work_is_refused(environments: str, said: str) -> None:
    found = changed("local: {}", environments, ONE_WRITER)
    assert any(said in line for line in found), found


@pytest.mark.parametrize("port", ["20001", "8404"])
def test_a_route_on_a_port_that_the_proxy_uses_itself_is_refused(port: str) -> None:
    assert "services.api.route.port" in changed('route: { port: "8080" }', f'route: {{ port: "{port}" }}')[0]


def test_an_environment_without_a_folder_for_its_secret_files_is_refused() -> None:
    found = changed("    secrets_folder: ../.cortex/secrets/production\n", "", TEXT)
    assert len(found) == 1 and "environments.production: found no folder for the secrets that are files" in found[0]


@pytest.mark.parametrize("character", ["\\0", "\\ud800"])
def test_a_character_that_no_text_holds_is_refused(character: str) -> None:
    assert ":11:" in changed("path: worker", f'path: "a{character}b"')[0]
    assert ":11:" in changed("    path: worker", f'    "pa{character}": worker')[0]


def test_a_long_text_is_shortened_in_the_message() -> None:
    (found,) = changed("local: {}", f"local: {{ mode: {'x' * 500} }}")
    assert len(found) < 250


EXPOSED = 'port: "9000"\n    secrets: { KEY: key }\n    exposure: { KEY: env }'
SECRETS = ("environments:\n  local: {}", "secrets: { key: { from: env, variable: KEY } }\nenvironments:\n  local: {}")


def test_a_value_in_the_environment_is_declared_for_a_variable_and_with_what_to_start() -> None:
    text = SMALL.replace(*SECRETS)
    stack = load_stack_text(text.replace('port: "9000"', f"{EXPOSED}\n    command: [x]"), FILE)
    assert stack.services["worker"].exposure == {"KEY": "env"}
    assert "`command` too" in changed('port: "9000"', EXPOSED, text)[0]
    other = EXPOSED.replace("exposure: { KEY", "command: [x]\n    exposure: { OTHER")
    assert "one of the variables KEY" in changed('port: "9000"', other, text)[0]
    assert "'env'" in changed('port: "9000"', EXPOSED.replace("KEY: env", "KEY: file"), text)[0]


def test_a_build_secret_is_of_the_builder_and_not_of_an_environment() -> None:
    text = SMALL.replace(
        "environments:", "secrets: { t: { from: env, variable: T }, f: { from: file } }\nenvironments:"
    )
    text = text.replace("local: {}", "local: { secrets_folder: s }")
    worker = "dockerfile: worker/Dockerfile"
    assert load_stack_text(text.replace(worker, f"{worker}, secrets: {{ token: t }}"), FILE)
    assert "images are built once for all of them" in changed(worker, f"{worker}, secrets: {{ token: f }}", text)[0]
    assert "one of the secrets f, t" in changed(worker, f"{worker}, secrets: {{ token: x }}", text)[0]
    assert "a lower-case id" in changed(worker, f"{worker}, secrets: {{ 'a,src=/etc/shadow': t }}", text)[0]


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("{ port: '1', image: 'x:1' }", "`optional: true`"),
        ("{ port: '1', optional: true, data: /x }", "together"),
        ("{ port: '1', optional: true, image: 'X Y' }", "an image"),
        ("{ port: '1', optional: true, image: 'x:1', data: x }", "an absolute path"),
    ],
)
def test_a_host_service_whose_container_cannot_be_is_refused(host: str, said: str) -> None:
    assert said in changed("environments:", f"host_services: {{ h: {host} }}\nenvironments:")[0]


def test_tests_cannot_ask_a_service_that_is_not_deployed() -> None:
    text = SMALL + 'tests: { path: t, build: { dockerfile: t/D }, env: { URL: "route:api" } }\n'
    optional = 'route: { port: "8080" }\n    optional: true'
    assert "route: and one of (none is defined)" in changed('route: { port: "8080" }', optional, text)[0]
