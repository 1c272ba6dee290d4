"""`logging: fluentd`: what a collector on each node does with the logs of this environment's containers.

It reads the files that containerd and CRI-O write, in the CRI's format, and sends them to Elasticsearch, with what
could not be sent yet kept on the node's disk. The namespace is `privileged`, because files of the node are mounted;
with an image the collector is rendered, as little as that allows: it is root without any capability, which owns the
files and can do nothing else that root can, on a read-only root, without a token of the API server. What it writes is
a folder of its own on the node, so that a new pod goes on where the last one was.

The image needs Fluentd 1.x with `fluent-plugin-elasticsearch`; all else here is Fluentd's own.
"""

from __future__ import annotations

from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import Object, selector
from cortex_ops.render.kubernetes.policies import allow_dns
from cortex_ops.render.monitoring.common import (
    namespace,
    namespace_of_services,
    part_name,
    placed,
    pod_in,
    settings,
    workload,
)
from cortex_ops.stack.quantities import url

PART, COMPONENT = "fluentd", "logging"
STATE = "/var/lib/fluentd"
LOGIN = "/run/secrets/elasticsearch"
NODE_LOGS = ("/var/log/containers", "/var/log/pods")  # names that say whose a file is, and the files

# A container's line as the runtime writes it. Fluentd's own words end with `json` or `message`: an object is parsed
# later, everything else, down to a number or a list, stays the text that it was.
LINE = r"^(?<time>[^ ]+) (?<stream>stdout|stderr) (?<logtag>[FP](?::[^ ]*)?) (?:(?<json>\{.*\})|(?<message>.*))$"
FILE = r"/(?<pod>[^/_]+)_(?<namespace>[^/_]+)_(?<container>[^/_]+)-[0-9a-f]{64}\.log$"

_CONFIGURATION = """\
# Logs of $namespace, from the files of the container runtime to Elasticsearch. Made by cortex-ops: edits are lost.
<source>
  @type tail
  @id containers
  path /var/log/containers/*_$namespace_*.log
  pos_file $state/containers.pos
  pos_file_compaction_interval 1h
  path_key file
  tag kubernetes
  read_from_head true
  refresh_interval 10
  # A line in no format that is known here is sent as it is.
  emit_unmatched_lines true
  # A line of more than 16 KiB comes in parts: `logtag` is P for each but the last, which is F. To put them together
  # takes a plugin that Fluentd does not come with (fluent-plugin-concat), so the parts stay records of their own, in
  # their order, and an object that was cut stays text.
  <parse>
    @type regexp
    expression /$line/
    # Nanoseconds without the zeros at their end, and then none at all: only this reads each of them.
    time_format %iso8601
  </parse>
</source>

# Whose line it is, from the name of its file; nothing has to ask the API server.
<filter kubernetes>
  @type parser
  key_name file
  reserve_data true
  reserve_time true
  remove_key_name_field true
  emit_invalid_record_to_error false
  <parse>
    @type regexp
    expression /$file/
  </parse>
</filter>

# What a service says as JSON becomes fields `log.…`, beside those from here and never in their place. Text that only
# looks like JSON stays in `json`.
<filter kubernetes>
  @type parser
  key_name json
  reserve_data true
  reserve_time true
  remove_key_name_field true
  inject_key_prefix log.
  emit_invalid_record_to_error false
  <parse>
    @type json
    # The time is the runtime's. A service's own `time` stays a field: read as the event's, it would be no number.
    time_key _no_time
  </parse>
</filter>

<match kubernetes>
  @type elasticsearch
  @id elasticsearch
  scheme $scheme
  host $host
  port $port
$login  logstash_format true
  logstash_prefix $index
  suppress_type_name true
  reconnect_on_error true
  reload_on_failure true
  reload_connections false
  request_timeout 30s
  # Nothing is dropped while Elasticsearch is away: chunks wait on disk, and when they fill it the files are read on
  # from where they were.
  <buffer>
    @type file
    path $state/buffer
    chunk_limit_size 8MB
    total_limit_size 1GB
    overflow_action block
    flush_mode interval
    flush_interval 5s
    flush_thread_count 2
    retry_forever true
    retry_max_interval 60s
  </buffer>
</match>
"""
_LOGIN = """\
  user "#{File.read('$folder/username').chomp}"
  password "#{File.read('$folder/password').chomp}"
"""


def fluentd_files(inputs: RenderInputs) -> dict[str, list[Object]]:
    spec = inputs.environment.kubernetes
    space = spec.logging_namespace
    name = part_name(inputs, PART)
    config = settings(inputs, space, PART, COMPONENT, {"fluent.conf": configuration(inputs)})
    account = placed(inputs, space, "ServiceAccount", "v1", name, COMPONENT, automountServiceAccountToken=False)
    out = {
        "00-namespace.yaml": [namespace(inputs, space, "privileged")],
        "10-access.yaml": [account],
        "20-config.yaml": [config],
    }
    if spec.logging_image:
        policy = placed(
            inputs, space, "NetworkPolicy", "networking.k8s.io/v1", name, COMPONENT, spec=_policy(inputs, name)
        )
        out["30-fluentd.yaml"] = [_collector(inputs, space, config["metadata"]["name"]), policy]
    return out


def configuration(inputs: RenderInputs) -> str:
    """The text of fluent.conf."""
    spec = inputs.environment.kubernetes
    assert spec.elasticsearch is not None
    to = url(spec.elasticsearch)
    values = {
        "$namespace": namespace_of_services(inputs),
        "$state": STATE,
        "$line": _inside(LINE),
        "$file": _inside(FILE),
        "$scheme": to.scheme,
        "$host": to.host,
        "$port": to.port,
        "$login": _LOGIN.replace("$folder", LOGIN) if spec.elasticsearch_secret else "",
        "$index": inputs.prefix,
    }
    text = _CONFIGURATION
    for key, value in values.items():
        text = text.replace(key, value)
    return text


def _inside(expression: str) -> str:
    """Between slashes, where a slash of its own is escaped."""
    return expression.replace("/", r"\/")


def _collector(inputs: RenderInputs, space: str, config: str) -> Object:
    spec = inputs.environment.kubernetes
    name = part_name(inputs, PART)
    volumes: list[Object] = [{"name": "config", "configMap": {"name": config}}]
    mounts: list[Object] = [{"name": "config", "mountPath": "/fluentd/etc", "readOnly": True}]
    for path in NODE_LOGS:
        part = path.rpartition("/")[2]
        volumes.append({"name": part, "hostPath": {"path": path, "type": "Directory"}})
        mounts.append({"name": part, "mountPath": path, "readOnly": True})
    state = {"path": f"/var/lib/cortex-ops/{name}", "type": "DirectoryOrCreate"}
    volumes += [{"name": "state", "hostPath": state}, {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    mounts += [{"name": "state", "mountPath": STATE}, {"name": "tmp", "mountPath": "/tmp"}]
    if spec.elasticsearch_secret:
        secret = {"secretName": spec.elasticsearch_secret, "defaultMode": 0o400}
        volumes.append({"name": "login", "secret": secret})
        mounts.append({"name": "login", "mountPath": LOGIN, "readOnly": True})
    container: Object = {
        "name": PART,
        "image": spec.logging_image,  # its own entrypoint, which reads /fluentd/etc/fluent.conf
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "FLUENTD_CONF", "value": "fluent.conf"}],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }
    template = pod_in(
        inputs, PART, COMPONENT, 0, containers=[container], volumes=volumes, terminationGracePeriodSeconds=60
    )
    template["spec"]["securityContext"] = {
        "runAsUser": 0,
        "runAsGroup": 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec_of = {
        "selector": {"matchLabels": selector(inputs, name)},
        # One at a time: the folder on the node has one writer.
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        "template": template,
    }
    return workload(inputs, space, "DaemonSet", PART, COMPONENT, spec_of)


def _policy(inputs: RenderInputs, name: str) -> Object:
    """Nothing comes in; out go names and what is sent. The address of a name is known only to DNS."""
    assert inputs.environment.kubernetes.elasticsearch is not None
    port = int(url(inputs.environment.kubernetes.elasticsearch).port)
    return {
        "podSelector": {"matchLabels": selector(inputs, name)},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [*allow_dns(), {"ports": [{"protocol": "TCP", "port": port}]}],
    }
