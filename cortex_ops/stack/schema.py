"""The model of `deploy/stack.yaml`: everything that can be said about the system, and what each key means.

One field, one meaning, read by somebody; checks that need more than one field are in `checks`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cortex_ops.stack.quantities import cpu, cron, duration, pinned, port, size, url

MAX_REPLICAS = 1000
MAX_SECONDS = 7 * 24 * 3600  # every wait has an end


def _checked(check):  # type: ignore[no-untyped-def]
    def apply(text: str) -> str:
        check(text)
        return text

    return AfterValidator(apply)


Port = Annotated[str, _checked(port), Field(description='A port as a quoted string, `"8080"`.')]
Size = Annotated[str, _checked(size), Field(description="Bytes with a unit: `256Mi`, `10Gi`.")]
Cpu = Annotated[str, _checked(cpu), Field(description="Cores: `500m` or `2`.")]
Cron = Annotated[str, _checked(cron), Field(description="Five fields; day of month and day of week not both.")]
Span = Annotated[str, _checked(duration), Field(description="A time span: `24h`, `30m`, `90s`, `7d`.")]
Address = Annotated[str, _checked(url), Field(description="`https://host:port` or `http://host:port`.")]
Pinned = Annotated[str, _checked(pinned), Field(description="An image by digest.")]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Source(Model):
    path: str = Field(description="The monorepo, relative to this file.")
    context: str = Field(".", description="Build context, relative to the monorepo.")


class Library(Model):
    path: str = Field(description="Folder of the package, relative to the monorepo.")


class Build(Model):
    dockerfile: str = Field(description="Relative to the build context.")
    target: str = Field("", description="Stage to build; empty: the last.")
    test_stage: str = Field("", description="Stage whose build runs the image's own tests.")
    arguments: dict[str, str] = Field({}, description="Build arguments; the same for every environment.")
    secrets: dict[str, str] = Field({}, description="Id of a build secret → a secret that is `from: env`.")
    size_budget: Size | None = Field(None, description="The largest image that is accepted.")


class Probes(Model):
    live: str = Field("/live", description="Path that says the process works; it checks nothing else.")
    ready: str = Field("/ready", description="Path that says requests can be served.")
    command: list[str] = Field([], description="Health check that the image itself has, for Compose.")


class Requests(Model):
    cpu: Cpu = "100m"
    memory: Size = "128Mi"


class Resources(Model):
    cpu: Cpu = Field("500m", description="Limit.")
    memory: Size = Field("256Mi", description="Limit.")
    pids: int = Field(256, ge=16, le=1_000_000, description="Limit of processes and threads.")
    requests: Requests = Requests()


class Scale(Model):
    min: int = Field(ge=1, le=MAX_REPLICAS)
    max: int = Field(ge=1, le=MAX_REPLICAS)
    cpu: int = Field(70, ge=1, le=100, description="Target utilisation in percent.")
    memory: int = Field(80, ge=1, le=100, description="Target utilisation in percent.")


class Route(Model):
    port: Port = Field(description="The proxy's port for this service, and its published port by default.")


class Migration(Model):
    command: list[str] = Field(min_length=1, description="Run once in the service's image before it starts.")
    path: str = Field(description="Folder of NNNN_name.sql files, relative to the monorepo.")
    store: str = Field(description="The store that is migrated.")


class Volume(Model):
    path: str = Field(description="Where the service sees it.")
    size: Size
    shared: bool = Field(False, description="Several replicas may write it at once (ReadWriteMany).")


class Service(Model):
    path: str = Field(description="Folder of the service, relative to the monorepo.")
    build: Build
    bundles: list[str] = Field([], description="Libraries whose change rebuilds this image.")
    port: Port
    env: dict[str, str] = Field({}, description="Environment variables by the names that the code reads.")
    secrets: dict[str, str] = Field({}, description="Variable that holds a file's path → name of the secret.")
    exposure: dict[str, Literal["env"]] = Field(
        {}, description="Variables of `secrets` that hold the value itself, for software that reads no files."
    )
    command: list[str] = Field([], description="Run instead of the image's entrypoint and command.")
    calls: list[str] = Field([], description="Services, stores, host services or `edge` that it talks to.")
    probes: Probes = Probes()
    writable: list[str] = Field([], description="Paths it may write; all else is read-only.")
    volumes: list[Volume] = Field([], description="Data of its own that outlives it; better kept in a store.")
    resources: Resources = Resources()
    replicas: int = Field(1, ge=1, le=MAX_REPLICAS)
    scale: Scale | None = Field(None, description="Autoscaling where the target has it.")
    route: Route | None = Field(None, description="Published through the proxy.")
    handover: Literal["overlap", "paused", "stop_start"] = Field(
        "overlap",
        description="`paused`: takes live work only once its release is the live one. `stop_start`: never runs "
        "twice; the old one is stopped before the new one starts, and started again when the release fails.",
    )
    migrations: Migration | None = None
    optional: bool = Field(False, description="Behind a profile in development, left out elsewhere.")


class StoreService(Model):
    kind: Literal["postgres", "nats", "redis", "qdrant"]
    image: str = Field(description="Public image; pinned by digest through the base lock.")
    user: int = Field(ge=1, le=2**31 - 1, description="Numeric user that the image can run as.")
    secret: str
    volume: Size
    memory: Size = "256Mi"
    cpu: Cpu = "1"
    database: str = ""
    owner: str = ""


class HostService(Model):
    port: Port
    health: str = "/health"
    path: str = Field("", description="Folder in the monorepo, where there is one.")
    optional: bool = False
    image: str = Field("", description="Runs instead of it behind a profile in development; public, optional only.")
    data: str = Field("", description="Folder in that image which is kept in a volume.")


class Edge(Model):
    allow: list[str] = Field([], description="Hosts that services calling `edge` may reach.")


class SecretSource(Model):
    from_: Literal["file", "env"] = Field(alias="from", description="Where the value comes from.")
    variable: str = Field("", description="For `env`: the variable's name.")


class Tests(Model):
    __test__ = False

    path: str
    build: Build
    env: dict[str, str] = Field({}, description="`route:<service>` becomes the candidate's address.")
    secrets: dict[str, str] = {}
    deadline: int = Field(120, ge=1, le=MAX_SECONDS, description="Seconds.")


class Keep(Model):
    proven: int = Field(3, ge=1, le=10_000, description="Proven sets that no age rule crosses.")
    daily: int = Field(7, ge=0, le=10_000)
    weekly: int = Field(4, ge=0, le=10_000)


class Backup(Model):
    schedule: Cron
    drill_schedule: Cron
    stores: list[str] = Field(min_length=1)
    keep: Keep = Keep()
    recovery_point: Span = "24h"

    def recovery_point_span(self) -> timedelta:
        return duration(self.recovery_point)


class Retention(Model):
    releases: int = Field(10, ge=1, description="Newest promoted releases of each environment that can come back.")
    unused: Span = Field("7d", description="Age from which a built image that no release needs is removed.")

    def unused_span(self) -> timedelta:
        return duration(self.unused)


class Override(Model):
    replicas: int | None = Field(None, ge=1, le=MAX_REPLICAS)
    resources: Resources | None = None
    env: dict[str, str] = {}


class Kubernetes(Model):
    """Where an environment's manifests go."""

    context: str = Field("", description="Of the kubeconfig; empty: its current one.")
    namespace: str = Field("", description="Default: the stack's name, a hyphen, the environment's.")
    storage_class: str = Field("", description="Of all claims; empty: the cluster's default.")
    pull_secret: str = Field("", description="An existing Secret with the registry's login.")
    host_address: str = Field("", description="Address or name at which pods reach the host-native services.")
    ingress_namespace: str = Field(
        "", description="Namespace of the ingress controller that reaches routed services."
    )
    monitoring: Literal["none", "prometheus", "operator"] = Field(
        "none",
        description="What is rendered for the Prometheus that scrapes every service: `prometheus`, its plain "
        "configuration and rule files; `operator`, a PodMonitor and a PrometheusRule. Never both.",
    )
    monitoring_namespace: str = Field(
        "",
        description="Namespace of that Prometheus, which the policies let in. With `monitoring: prometheus` it is "
        "made, for nothing else.",
    )
    monitoring_image: Pinned | None = Field(
        None, description="Prometheus itself, with `monitoring: prometheus`; without it, only its configuration."
    )
    monitoring_account: str = Field(
        "", description="With `monitoring: operator`: ServiceAccount of its Prometheus, which may then find the pods."
    )
    monitoring_labels: dict[str, str] = Field(
        {}, description="With `monitoring: operator`: labels by which its Prometheus selects monitors and rules."
    )
    alertmanager: Address | None = Field(None, description="Where `monitoring: prometheus` sends its alerts.")
    logging: Literal["none", "fluentd"] = Field(
        "none", description="`fluentd`: each node's collector sends the logs of this environment to Elasticsearch."
    )
    logging_namespace: str = Field(
        "", description="Namespace of the collectors. It is made, for nothing else: its pods read files of the node."
    )
    logging_image: Pinned | None = Field(
        None, description="Fluentd with its plugin for Elasticsearch; without it, only its configuration."
    )
    elasticsearch: Address | None = Field(None, description="Where `logging: fluentd` sends to.")
    elasticsearch_secret: str = Field(
        "", description="An existing Secret in `logging_namespace` with the keys `username` and `password`."
    )


class EnvironmentSpec(Model):
    target: Literal["compose", "kubernetes"] = "compose"
    mode: Literal["development", "production"] = "production"
    drift: Literal["correct", "refuse"] = "correct"
    protected: bool = Field(False, description="No dirty trees, no builds: images come by promotion.")
    from_: str = Field("", alias="from", description="The environment whose tested images this one takes.")
    bind: str = Field("127.0.0.1", description="Address that published ports bind.")
    ports: dict[str, Port] = Field({}, description="Published port by routed service, where it differs.")
    secrets_folder: str = Field("", description="Folder of secret files, relative to this file.")
    start_deadline: int = Field(180, ge=1, le=MAX_SECONDS, description="Seconds in which all must become ready.")
    strategy: Literal["beside", "recreate"] = Field(
        "beside",
        description="`recreate`, for small machines: every service hands over by `stop_start`, so nothing answers "
        "from the start of the new release until it is promoted.",
    )
    restart_budget: int = Field(2, ge=0, le=1000, description="Crashes at start that are forgiven.")
    wait: float = Field(0.0, ge=0, le=MAX_SECONDS, description="Seconds to wait for another run's lease.")
    overrides: dict[str, Override] = {}
    kubernetes: Kubernetes = Kubernetes()


class Stack(Model):
    """The whole system."""

    version: Literal["1"]
    name: str
    source: Source
    libraries: dict[str, Library] = {}
    services: dict[str, Service]
    stores: dict[str, StoreService] = {}
    host_services: dict[str, HostService] = {}
    edge: Edge = Edge()
    secrets: dict[str, SecretSource] = {}
    tests: Tests | None = None
    backup: Backup | None = None
    retention: Retention = Retention()
    environments: dict[str, EnvironmentSpec]
