"""The README.md beside rendered files: what to type, without this tool."""

from __future__ import annotations

from cortex_ops.kernel.values import Bundle
from cortex_ops.render.compose.development import host_variable
from cortex_ops.render.inputs import RenderInputs


def with_readme(bundle: Bundle, inputs: RenderInputs) -> Bundle:
    """The bundle with instructions for a person who has only these files and Docker Compose."""
    files = {**bundle.files, "README.md": _text(inputs)}
    return bundle.model_copy(update={"files": files})


def _text(inputs: RenderInputs) -> str:
    name, prefix = inputs.environment.name, inputs.prefix
    if inputs.environment.mode == "development":
        return (
            f"# {inputs.stack.name}: {name}\n\n"
            "    docker compose up --build --watch\n\n"
            "Every port is on loopback. The passwords in `secrets/` and `stores/` are one fixed word: for a machine\n"
            "that nobody else reaches.\n" + _profiles(inputs)
        )
    proxy = inputs.image("edge").reference()
    return (
        f"# {inputs.stack.name}: {name}\n\n"
        "Deliver the secrets once for each change of a value; they are mounted from volumes, in no file here:\n\n"
        f"    cortex-ops secrets apply -e {name}\n\n"
        "Then the parts, as the pipeline brings them up:\n\n"
        f"    docker compose -p {prefix}-stores -f stores/compose.yaml up --wait\n"
        f"    docker compose -p {prefix}-edge -f edge/compose.yaml up --wait\n"
        f"    docker compose -p {prefix}-r0 -f release/compose.yaml up --wait\n\n"
        "or all of it as one project:\n\n"
        "    docker compose up --wait\n\n"
        "The proxy gives the traffic to nobody until it is told (slot, release, candidate):\n\n"
        f"    docker run --rm -v {prefix}-edge-state:/run/edge {proxy} switch set a r0 none\n\n"
        "A migration or the integration tests are one-shot services:\n\n"
        f"    docker compose -p {prefix}-r0 -f release/compose.yaml run --rm SERVICE\n\n"
        "To stop it all (data volumes stay), once for each project that was started:\n\n"
        "    docker compose down\n"
    )


def _profiles(inputs: RenderInputs) -> str:
    """How the optional parts are switched on."""
    services = [name for name, service in inputs.stack.services.items() if service.optional]
    hosts = [name for name, host in inputs.stack.host_services.items() if host.image]
    if not services and not hosts:
        return ""
    lines = [f"    docker compose --profile {name} up --build --watch\n" for name in services]
    lines += [
        f"    {host_variable(inputs, name)}={name} docker compose --profile {name} up --build --watch\n"
        for name in hosts
    ]
    return (
        "\nOptional parts are profiles; what else runs natively on the host may run in a container instead:\n\n"
        + "".join(lines)
    )
