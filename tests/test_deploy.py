"""What stands in deploy/ parses, and every path, port, option, setting and metric that it names exists."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import Config, ConfigError, load
from gateway.metrics import Metrics

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
ADMIN_PATHS = {"/healthz", "/readyz", "/metrics"}
PORTS = {8080: "http", 8081: "admin", 8082: "cluster"}
MAX_EXPOSURE = 2.0  # of systemd-analyze security


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def documents() -> dict[str, Any]:
    """Return the Kubernetes objects by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(text("kubernetes/gateway.yaml"))}


def loaded(toml: str, tmp_path: Path, environment: dict[str, str]) -> Config:
    """Load a configuration in which the files that it names are there."""
    for name in re.findall(r'_file = "([^"]+)"', toml):
        secret = tmp_path / name.replace("/", "_")
        secret.write_text("1 " + "A" * 43 + "=")
        toml = toml.replace(name, str(secret))
    path = tmp_path / "gateway.toml"
    path.write_text(toml)
    return load(path, environment)


def strings(value: Any) -> Iterator[str]:
    """Yield every string in a document."""
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.*")), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_parses(path: Path) -> None:
    """YAML, JSON and TOML are that."""
    content = path.read_text(encoding="utf-8")
    match path.suffix:
        case ".yaml":
            assert all(list(yaml.safe_load_all(content)))
        case ".json":
            assert json.loads(content)
        case ".toml":
            assert tomllib.loads(content)
        case _:
            assert content.strip()


def test_settings_of_the_environment(tmp_path: Path) -> None:
    """Every JMAP_GATEWAY_… that is named is a setting."""
    everything = "".join(path.read_text() for path in DEPLOY.rglob("*") if path.is_file())
    names = set(re.findall(r"JMAP_GATEWAY_[A-Z]\w*", everything))
    assert len(names) >= 5
    for name in names:
        with pytest.raises(ConfigError) as raised:  # for "-" is no address, and there is no upstream
            load(None, {name: "-"})
        assert not [fault for fault in raised.value.faults if "not a known key" in fault.what], name


def test_configuration_of_compose(tmp_path: Path) -> None:
    """With the environment of either service and the image, it is one that the gateway takes."""
    compose = yaml.safe_load(text("compose.yaml"))
    image = dict(re.findall(r"(JMAP_GATEWAY_\w+)=(\S+)", text("Dockerfile")))
    for name in ("gateway1", "gateway2"):
        service = compose["services"][name]
        environment = {k: v.replace("${JMAP_HOST:-localhost}", "localhost") for k, v in service["environment"].items()}
        config = loaded(text("compose/gateway.toml"), tmp_path, image | environment)
        assert str(config.cluster.advertise) == f"{name}:8082"
        assert config.upstreams["main"].imap.host in compose["services"]
        assert config.store.redis_url is not None
        assert config.store.redis_url.hosts[0].name in compose["services"]
        assert config.http.linger_s + config.http.drain_s < int(service["stop_grace_period"].removesuffix("s"))
        assert f"{name}:/var/lib/jmap-gateway" in service["volumes"]
        assert str(config.store.data_dir) == "/var/lib/jmap-gateway"


def test_files_of_compose() -> None:
    """What is mounted is there; a volume, a secret and a service that are named are declared."""
    compose = yaml.safe_load(text("compose.yaml"))
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith("./") else source in compose["volumes"]
        assert set(service.get("depends_on", [])) <= set(compose["services"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
    build = compose["services"]["gateway1"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    assert {"--appendonly", "noeviction"} <= set(compose["services"]["redis"]["command"])


def test_dockerfile() -> None:
    """What is copied is in the repository and not ignored; the ports and the command are the gateway's; not root."""
    lines = [line for line in text("Dockerfile").replace("\\\n", "").splitlines() if line and line[0] != "#"]
    ignored = text("Dockerfile.dockerignore").split()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source.removeprefix('./')}" in ignored
    assert [line.split()[0] for line in lines].count("FROM") == 2
    assert "USER 10001:10001" in lines
    (exposed,) = (line for line in lines if line.startswith("EXPOSE"))
    assert set(map(int, exposed.split()[1:])) == set(PORTS)
    (check,) = (line for line in lines if line.startswith("HEALTHCHECK"))
    assert "127.0.0.1:8081/healthz" in check
    assert_command(" ".join(json.loads(line.split(" ", 1)[1])[0] for line in lines if line.startswith("ENTRYPOINT")))


def assert_command(line: str) -> None:
    """Assert that a line calls a command of the gateway with options that it has."""
    from gateway.cli import _parser

    words = line.split()
    assert words[0].endswith("jmap-gateway")
    if len(words) > 1:
        _parser().parse_args(words[1:])


def test_kubernetes_configuration(tmp_path: Path) -> None:
    """The ConfigMap is a configuration that the gateway takes, within the pod's time to stop."""
    pod = documents()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    toml = documents()["ConfigMap"]["data"]["gateway.toml"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for name in re.findall(r'_file = "([^"]+)"', toml):
        assert any(name.startswith(f"{mount}/") for mount in mounts), name
    image = dict(re.findall(r"(JMAP_GATEWAY_\w+)=(\S+)", text("Dockerfile")))
    environment = {one["name"]: one.get("value", "10.1.2.3") for one in container["env"]}
    environment = {
        name: value.replace("$(POD_IP)", "10.1.2.3")
        for name, value in (image | environment).items()
        if name.startswith("JMAP_GATEWAY_")
    }
    config = loaded(toml, tmp_path, environment)
    assert str(config.cluster.advertise) == "10.1.2.3:8082"
    assert str(config.store.data_dir) in mounts
    assert "/etc/jmap-gateway" in mounts
    pause_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause_s + config.http.linger_s + config.http.drain_s < pod["terminationGracePeriodSeconds"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert set(ports.values()) == set(PORTS)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in ADMIN_PATHS
        assert PORTS[ports[asked["port"]]] == "admin"


def test_kubernetes_names() -> None:
    """Selectors, names and ports of the objects fit together; the metric of the autoscaler exists."""
    objects = documents()
    pod = objects["Deployment"]["spec"]["template"]
    labels, (container,) = pod["metadata"]["labels"], pod["spec"]["containers"]
    names = {one["name"] for one in container["ports"]}
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert objects["Service"]["spec"]["selector"].items() <= labels.items()
    assert {one["targetPort"] for one in objects["Service"]["spec"]["ports"]} <= names
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert {port["port"] for rule in objects["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]} == names
    scaled = objects["HorizontalPodAutoscaler"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == objects["Deployment"]["metadata"]["name"]
    used = {one["pods"]["metric"]["name"] for one in scaled["metrics"] if one["type"] == "Pods"}
    assert used
    assert used <= metrics()
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def metrics() -> set[str]:
    """Return the names under which /metrics tells numbers: those of `Metrics`, and the gauges that the parts add."""
    names = set()
    for family in Metrics().registry.collect():
        names |= {sample.name for sample in family.samples}
        names |= {
            family.name + end
            for end in {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}[family.type]
        }
    sources = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    return names | {f"jmap_gateway_{name}" for name in re.findall(r'\.gauge\(\s*"(\w+)"', sources)}


def test_dashboard() -> None:
    """Every panel shows metrics that exist, and no two panels lie on each other."""
    dashboard = json.loads(text("grafana.json"))
    known = metrics()
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        taken |= cells
        for target in panel["targets"]:
            used = set(re.findall(r"jmap_gateway_\w+", target["expr"]))
            assert used, target
            assert used <= known, used - known
    assert all(name in known for s in strings(dashboard["templating"]) for name in re.findall(r"jmap_gateway_\w+", s))


def test_proxies() -> None:
    """Both examples choose by login, keep nothing back, and name ports and paths of the gateway."""
    nginx, caddy = text("nginx.conf"), text("Caddyfile")
    assert re.search(r"hash \$jmap_login consistent;", nginx)
    for wanted in ("proxy_buffering off", "proxy_request_buffering off", "proxy_http_version 1.1", "Upgrade $http_"):
        assert wanted in nginx
    assert set(re.findall(r"server [\d.]+:(\d+)", nginx)) == {"8080"}
    assert "lb_policy header Authorization" in caddy
    assert "flush_interval -1" in caddy
    assert set(re.findall(r"health_uri (\S+)", caddy)) <= ADMIN_PATHS
    assert set(re.findall(r"health_port (\d+)", caddy)) == {"8081"}
    compose = yaml.safe_load(text("compose.yaml"))
    (nodes,) = re.findall(r"reverse_proxy (.*) \{", caddy)
    for node in nodes.split():
        name, port = node.split(":")
        assert name in compose["services"]
        assert PORTS[int(port)] == "http"
    for one in (nginx, caddy):
        assert one.count("{") == one.count("}")


def test_unit(tmp_path: Path) -> None:
    """systemd takes the unit, scores it low, and gives it longer to stop than the gateway takes."""
    unit = text("jmap-gateway.service")
    for line in re.findall(r"^Exec\w+=(.+)$", unit, re.MULTILINE):
        assert_command(line)
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert Config().http.linger_s + Config().http.drain_s < int(stop_s)
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    (tmp_path / "jmap-gateway").write_text("#!/bin/sh\n")
    (tmp_path / "jmap-gateway").chmod(0o755)
    here = tmp_path / "jmap-gateway.service"
    here.write_text(unit.replace("/opt/jmap-gateway/bin", str(tmp_path)))
    environment = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    verified = subprocess.run([analyze, "verify", str(here)], capture_output=True, text=True, env=environment)
    assert verified.returncode == 0, verified.stderr
    assert "jmap-gateway" not in verified.stderr, verified.stderr
    scored = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(here)], capture_output=True, text=True
    )
    (score,) = re.findall(r"Overall exposure level[^:]*: ([\d.]+)", scored.stdout)
    assert float(score) <= MAX_EXPOSURE
