"""The deployment files: valid by Ray's own code, safe, and with commands that the jobs accept."""

import copy
import importlib
import json
import os
import re
import shlex
import subprocess
import tomllib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from unittest.mock import MagicMock

import pytest
import ray
import yaml
from packaging.requirements import Requirement
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr as derived,
)
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.event_logger import AutoscalerEventLogger
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

from tests.jobs.conftest import RAY

ROOT = Path(__file__).parents[2]
CLOUDS = ["ray_cluster.yaml", "deploy/gcp.yaml"]
LAUNCHED = [*CLOUDS, "deploy/on-premises.yaml"]
STANDING, BUILD, NIGHTLY = KUBERAY = ["raycluster.yaml", "rayjob-build.yaml", "raycronjob-tag.yaml"]
PAGE = (ROOT / "docs" / "cluster.md").read_text()
COMMANDS = re.findall(r"(python -m jobs\.\S+ [^`\n]*?) *(?:>>.*)?$", PAGE, re.M)
IMAGE = "rayproject/ray:2.60.0-py311"
FLOWS = {"jobs.train": "fit", "jobs.build_subset": "build", "jobs.tag_catalog": "tag_catalog"}


def launched(name):
    return yaml.safe_load((ROOT / name).read_text())


def documents(name):
    text = (ROOT / "deploy" / "kuberay" / name).read_text()
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def ray_job(name):
    (document,) = documents(name).values()
    return document["spec"].get("jobTemplate", document["spec"])


def ray_cluster(name):
    is_job = name != STANDING
    return ray_job(name)["rayClusterSpec"] if is_job else documents(name)["RayCluster"]["spec"]


def config_of(name):
    if name in LAUNCHED:
        return launched(name)
    return derived({"metadata": {"name": "x", "namespace": "x"}, "spec": ray_cluster(name)})


def started_for(config, *demand):
    """Return which nodes Ray's autoscaler starts in an empty cluster for a demand."""
    types = AutoscalingConfig(copy.deepcopy(config), skip_content_hash=True)
    requests = [ResourceRequestUtil.make(resources) for resources in demand]
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=types.get_node_type_configs(),
        max_num_nodes=types.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count(requests),
    )
    reply = ResourceDemandScheduler(AutoscalerEventLogger(MagicMock())).schedule(request)
    return {launch.instance_type: launch.count for launch in reply.to_launch}


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_takes_the_file(name):
    config = launched(name)
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    assert config["idle_timeout_minutes"] > 0
    if name not in CLOUDS:  # what is there runs: Ray cannot know what such a machine has
        (machines,) = prepared["available_node_types"].values()
        assert machines["min_workers"] == len(config["provider"]["worker_ips"])


@pytest.mark.parametrize("name", [*CLOUDS, *KUBERAY])
def test_pools_grow_from_zero_each_for_its_own_work(name):
    config = config_of(name)
    types = config["available_node_types"]
    cpus, most = (types["cpu-download"][key] for key in ("resources", "max_workers"))
    assert started_for(config) == {}
    assert started_for(config, *[{"CPU": 1}] * (3 * cpus["CPU"])) == {"cpu-download": 3}
    assert started_for(config, *[{"CPU": 1}] * (99 * cpus["CPU"]))["cpu-download"] == most
    assert started_for(config, *[{"GPU": 1}] * 2) == ({} if name == BUILD else {"gpu": 2})
    assert types[config["head_node_type"]]["resources"]["CPU"] == 0
    assert all({"CPU", "GPU", "memory"} >= one["resources"].keys() for one in types.values())


def test_pools_are_of_spot_nodes_and_heads_are_not():
    aws, gcp = (launched(name)["available_node_types"] for name in CLOUDS)
    for node, is_pool in {"head": False, "cpu-download": True, "gpu": True}.items():
        market = aws[node]["node_config"].get("InstanceMarketOptions")
        model = gcp[node]["node_config"].get("scheduling", {}).get("provisioningModel")
        assert (market == {"MarketType": "spot"}, model == "SPOT") == (is_pool, is_pool), node


@pytest.mark.parametrize("name", LAUNCHED)
def test_the_dashboard_is_on_loopback_and_all_calls_need_the_token(name):
    config = launched(name)
    start, join = (config[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker"))
    assert "--head --num-cpus=0 --num-gpus=0" in start
    assert "--dashboard-host=127.0.0.1" in start
    assert all("RAY_AUTH_MODE=token ray start" in command for command in (start, join))
    assert "0.0.0.0" not in (ROOT / name).read_text()


@pytest.mark.parametrize("name", LAUNCHED)
def test_a_node_gets_this_project_in_these_versions(name):
    config = launched(name)
    (pip,) = [c for c in config["setup_commands"] if "pip install" in c]
    pins = [Requirement(text) for text in re.findall(r'"([^"]+==[^"]+)"', pip)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = {one.name: one for one in map(Requirement, project)}
    assert {"ray", "torch", "torchaudio", "torchvision", "pyarrow"} <= {one.name for one in pins}
    for pin in pins:
        here = version(pin.name).split("+")[0]
        assert pin.specifier.contains(here), f"{pin}, tested with {here}"
        assert wanted[pin.name].specifier.contains(here)
        assert pin.extras == wanted[pin.name].extras
    assert pip.endswith(" ~/timbre-project")
    mounts = [Path(there) for there in config["file_mounts"] if "/timbre-project/" in there]
    assert {there.name for there in mounts} == {"pyproject.toml", "README.md"}
    assert any("python3.11 -m venv ~/timbre" in command for command in config["setup_commands"])


@pytest.mark.parametrize("name", LAUNCHED)
def test_a_nodes_environment_and_the_modes_of_its_secrets(name, tmp_path):
    secrets = [tmp_path / ".ray" / "auth_token", tmp_path / ".timbre" / "cookies.txt"]
    for secret in secrets:
        secret.parent.mkdir()
        secret.touch(0o644)
    commands = [c for c in launched(name)["setup_commands"] if ".env" in c or "chmod" in c]
    for command in [*commands, *commands, ". ~/.bashrc; env"]:  # a change sets it up again
        shown = subprocess.run(
            ["bash", "-ec", command], env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    assert (tmp_path / ".bashrc").read_text() == ". ~/.timbre.env\n"
    assert all(secret.stat().st_mode & 0o077 == 0 for secret in secrets)
    got = dict(line.split("=", 1) for line in shown.splitlines())
    assert got["PATH"].startswith(f"{tmp_path}/timbre/bin:")
    check_ray_environment(got)


def check_ray_environment(found):  # Ray ignores names that it does not know
    known = (Path(ray.__file__).parent / "_raylet.so").read_bytes()
    tuned = [key.encode() for key in found if key.startswith(("RAY_health_", "RAY_grpc_"))]
    assert len(tuned) == 8 and all(key in known for key in tuned)
    assert (found["RAY_AUTH_MODE"], found["RAY_health_check_failure_threshold"]) == ("token", "3")


@pytest.mark.parametrize("name", KUBERAY)
def test_pods_are_pinned_confined_and_hold_no_secret(name):
    spec = ray_cluster(name)
    assert f"rayproject/ray:{spec['rayVersion']}-py311" == IMAGE
    assert spec["rayVersion"] == ray.__version__
    assert spec["authOptions"] == {"mode": "token"}
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        check_ray_environment({each["name"]: each["value"] for each in container["env"]})
    submitter = [] if name == STANDING else [ray_job(name)["submitterPodTemplate"]]
    for pod in [*(group["template"] for group in groups), *submitter]:
        check_confined(pod)


def check_confined(pod):
    (container,) = pod["spec"]["containers"]
    has_gpu = "nvidia.com/gpu" in container["resources"]["limits"]
    assert container["image"] == IMAGE + "-gpu" * has_gpu
    assert pod["metadata"]["labels"] == {"app.kubernetes.io/name": "timbre"}  # of the policy
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["runAsUser"] == 1000
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert all({"cpu", "memory"} <= each.keys() for each in container["resources"].values())
    assert all(v["secret"]["defaultMode"] == 0o400 for v in pod["spec"].get("volumes", []))


def test_only_own_pods_the_operator_and_prometheus_reach_the_pods():
    policy = documents(STANDING)["NetworkPolicy"]["spec"]
    own, *others = policy["ingress"]
    pods = {"matchLabels": {"app.kubernetes.io/name": "timbre"}}
    assert policy["podSelector"] == own["from"][0]["podSelector"] == pods
    assert all(rule["ports"] and rule["from"] for rule in others)


@pytest.mark.parametrize("name", [BUILD, NIGHTLY])
def test_a_job_on_kubernetes_is_limited_and_frees_its_nodes(name):
    job = ray_job(name)
    assert (job["shutdownAfterJobFinishes"], job["suspend"]) == (True, False)
    assert 0 < job["backoffLimit"] < 5
    assert 0 < job["ttlSecondsAfterFinished"] < job["activeDeadlineSeconds"]


def test_every_night_one_run():
    spec = documents(NIGHTLY)["RayCronJob"]["spec"]
    assert re.fullmatch(r"\d+ \d+ \* \* \*", spec["schedule"])
    assert spec.keys() == {"schedule", "timeZone", "suspend", "jobTemplate"}  # all that 1.7 knows
    assert spec["timeZone"] == "Etc/UTC"
    job = spec["jobTemplate"]
    assert job["activeDeadlineSeconds"] * (1 + job["backoffLimit"]) < 24 * 3600  # one at a time


class _Parsed(Exception):
    """A job has made its config."""


@pytest.mark.parametrize("where", [BUILD, NIGHTLY, *COMMANDS])
def test_the_jobs_take_the_commands_of_files_and_page(where, monkeypatch):
    command = ray_job(where)["entrypoint"] if where in KUBERAY else where
    _, _, name, *flags = shlex.split(command)
    job = importlib.import_module(name)
    monkeypatch.setattr(job, FLOWS[name], MagicMock(side_effect=_Parsed))
    with pytest.raises(_Parsed):
        job.main(flags)


def test_the_page_names_what_is_there():
    assert len(COMMANDS) == PAGE.count("python -m jobs.") >= 4
    assert f"FROM {IMAGE}\n" in PAGE
    links = re.findall(r"\]\(\.\./([^)#]+)", PAGE)
    copied = " ".join(re.findall(r"COPY --chown=ray:users (.+) /home", PAGE)).split()
    assert len(links) >= 4 and {"pyproject.toml", "pipeline", "jobs", "schemas"} <= set(copied)
    assert all((ROOT / each).exists() for each in [*links, *copied])


def code_of_script(server, job):
    """Run what the page's script ends with; return its exit code, as cron sees it."""
    (line,) = re.findall(r"^ +\.venv/bin/(python -c .+get_job_info.+ \$id)$", PAGE, re.M)
    return subprocess.run(
        ["bash", "-c", f"id={job}\n{RAY.parent}/{line}"], check=False,
        env={**os.environ, "RAY_AUTH_MODE": "token", "RAY_API_SERVER_ADDRESS": server},
    ).returncode  # fmt: skip


@contextmanager
def jobs_api(**details):
    """Serve what Ray's jobs API says of a job, in its own words."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            known = {"/api/version": VERSION, "/api/jobs/night": JOB | details}
            body = json.dumps(known.get(self.path, {})).encode()
            self.send_response(200 if self.path in known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


VERSION = {"version": "4", "ray_version": ray.__version__, "ray_commit": "", "session_name": ""}
JOB = {"type": "SUBMISSION", "submission_id": "night", "entrypoint": "python -m jobs.tag_catalog"}


@pytest.mark.parametrize(
    ("status", "driver_exit_code", "code"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 1, 1),
        ("FAILED", 3, 3),
        ("FAILED", None, 1),  # it never began
        ("STOPPED", None, 1),
    ],
)
def test_the_pages_script_ends_with_1_where_there_is_no_code(status, driver_exit_code, code):
    with jobs_api(status=status, driver_exit_code=driver_exit_code) as server:
        assert code_of_script(server, "night") == code
        assert code_of_script(server, "another") == 1


def test_the_pages_script_tells_exit_code_3(head):
    done = head.job("submit", "--submission-id", "ended", "--", "exit", 3)
    assert done.returncode == 1
    assert "failed with exit code 3" in done.stdout + done.stderr
    server = re.search(r"http://127\.0\.0\.1:\d+", done.stdout + done.stderr)[0]
    assert code_of_script(server, "ended") == 3
    assert "`|| test $? -eq 3`" in PAGE
    forgiven = head.job("submit", "--", "sh", "-c", "sh -c 'exit 3' || test $? -eq 3")
    assert forgiven.returncode == 0, forgiven.stdout + forgiven.stderr
