"""The deployment files: valid by Ray's own code, safe, and with commands that the jobs accept."""

import argparse
import copy
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from unittest.mock import MagicMock
from zipfile import ZipFile

import pytest
import ray
import yaml
from packaging.requirements import Requirement
from ray._private.runtime_env.packaging import create_package
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr as derived,
)
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.event_logger import AutoscalerEventLogger
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.job_submission import JobSubmissionClient
from ray.scripts.scripts import cli

import jobs.__main__ as timbre
from jobs.submit import apart
from pipeline.configs.submit import SubmitConfig
from pipeline.errors import TimbreError
from pipeline.flags import add_flags
from pipeline.flows.submit import wait_for as wait_for_job

ROOT = Path(__file__).parents[2]
CLOUDS = ["ray_cluster.yaml", "deploy/gcp.yaml"]
LAUNCHED = [*CLOUDS, "deploy/on-premises.yaml"]
STANDING, BUILD, NIGHTLY = KUBERAY = ["raycluster.yaml", "rayjob-build.yaml", "raycronjob-tag.yaml"]
PAGE = (ROOT / "docs" / "cluster.md").read_text()
COMMANDS = re.findall(r"(python -m jobs\.\S+ [^`\n]*?) *(?:>>.*)?$", PAGE, re.M)
HEADS = "\n".join((ROOT / name).read_text().partition("\n\n")[0] for name in LAUNCHED)
JOINED = re.sub(r" *\\\n#? *", " ", f"{PAGE}\n{HEADS}")
SUBMITTED = re.findall(r"timbre submit (.* -- [a-z].*)", JOINED)
IMAGE = "REGISTRY/timbre:0.2.0"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
SETUP = (ROOT / "deploy" / "setup-node.sh").read_text()
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
    has_eight = "gpu8" in types
    assert has_eight == (name in (*CLOUDS, STANDING))
    assert not has_eight or started_for(config, {"GPU": 8}) == {"gpu8": 1}
    assert types[config["head_node_type"]]["resources"]["CPU"] == 0
    assert all({"CPU", "GPU", "memory"} >= one["resources"].keys() for one in types.values())


def test_pools_are_of_spot_nodes_and_heads_are_not():
    aws, gcp = (launched(name)["available_node_types"] for name in CLOUDS)
    for node, is_pool in {"head": False, "cpu-download": True, "gpu": True, "gpu8": True}.items():
        market = aws[node]["node_config"].get("InstanceMarketOptions")
        model = gcp[node]["node_config"].get("scheduling", {}).get("provisioningModel")
        assert (market == {"MarketType": "spot"}, model == "SPOT") == (is_pool, is_pool), node


@pytest.mark.parametrize("name", LAUNCHED)
def test_the_dashboard_is_on_loopback_and_all_calls_need_the_token(name):
    config = launched(name)
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    start, join = (command for command in starts if "ray start" in command)
    assert "--head --num-cpus=0 --num-gpus=0" in start
    assert "--dashboard-host=127.0.0.1" in start
    assert all("RAY_AUTH_MODE=token ray start" in command for command in (start, join))
    assert "0.0.0.0" not in (ROOT / name).read_text()


@pytest.mark.parametrize("text", [DOCKERFILE, SETUP], ids=["Dockerfile", "setup-node.sh"])
def test_a_node_gets_this_project_in_these_versions(text):
    pins = [Requirement(one) for one in re.findall(r'"([^"$ ]+==[^"]+)"', text)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = {one.name: one for one in map(Requirement, project)}
    assert {"ray", "torch", "torchaudio", "torchvision", "pyarrow"} <= {one.name for one in pins}
    for pin in [one for one in pins if one.name not in ("boto3", "google-api-python-client")]:
        here = version(pin.name).split("+")[0]
        assert pin.specifier.contains(here), f"{pin}, tested with {here}"
        assert wanted[pin.name].specifier.contains(here)
        assert pin.extras == wanted[pin.name].extras
    assert "build-essential" in text and "python3.11-dev" in text  # torch compiles on nodes


def test_the_image_holds_what_it_copies_and_is_what_the_clusters_run():
    assert f"FROM rayproject/ray:{ray.__version__}-py311\n" in DOCKERFILE
    copied = " ".join(re.findall(r"COPY --chown=ray:users (.+) /home", DOCKERFILE)).split()
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {"pyproject.toml", "pipeline", "jobs", "schemas"} <= set(copied)
    assert {one[1:] for one in ignored if one.startswith("!")} == set(copied)
    assert all((ROOT / each).exists() for each in copied)
    assert "docker build --file deploy/Dockerfile" in DOCKERFILE and "docker build" in PAGE
    for name in CLOUDS:
        config = launched(name)
        assert config["docker"]["image"] == IMAGE
        assert not [one for one in config["setup_commands"] if "pip install" in one]


def test_a_node_without_an_image_runs_the_set_up_with_what_is_mounted(tmp_path):
    config = launched("deploy/on-premises.yaml")
    project = tmp_path / "timbre-project"
    project.mkdir()
    for there, here in config["file_mounts"].items():
        if "/timbre-project/" in there:
            shutil.copy(ROOT / here, project / Path(there).name)
    assert config["setup_commands"][0] == "bash ~/timbre-project/setup-node.sh"

    programs = tmp_path / "timbre" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "pip").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > ~/asked\n')
    (programs / "pip").chmod(0o755)
    (programs / "python3.11").symlink_to(sys.executable)
    bare = {"HOME": str(tmp_path), "PATH": str(programs)}  # neither apt-get nor sudo
    script = project / "setup-node.sh"
    subprocess.run([shutil.which("bash"), str(script)], env=bare, check=True, capture_output=True)

    asked = (tmp_path / "asked").read_text().splitlines()
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert asked[:2] == ["install", "--quiet"]
    assert asked[-2] == "--requirement"
    assert Path(asked[-1]).read_text().splitlines() == wanted


def environment_of(name, folder, *, strict=False):
    """Return a node's environment after the set-up commands of a file, run twice."""
    config = launched(name)
    shutil.copy(ROOT / "deploy" / "node.env", folder / ".timbre.env")
    if strict:
        shutil.copy(ROOT / "deploy" / "strict-health.env", folder / ".timbre.strict.env")
    commands = [c for c in config["setup_commands"] if ".env" in c or "chmod" in c]
    for command in [*commands, *commands, ". ~/.bashrc; env"]:  # a change sets it up again
        shown = subprocess.run(
            ["bash", "-ec", command], env={"HOME": str(folder), "PATH": os.environ["PATH"]},
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


@pytest.mark.parametrize("name", LAUNCHED)
def test_a_nodes_environment_and_the_modes_of_its_secrets(name, tmp_path):
    secrets = [tmp_path / ".ray" / "auth_token", tmp_path / ".timbre" / "cookies.txt"]
    for secret in secrets:
        secret.parent.mkdir()
        secret.touch(0o644)
    found = environment_of(name, tmp_path)
    assert (tmp_path / ".bashrc").read_text() == ". ~/.timbre.env\n"
    assert all(secret.stat().st_mode & 0o077 == 0 for secret in secrets)
    assert found["PATH"].startswith(f"{tmp_path}/timbre/bin:")
    check_ray_environment(found)
    assert (found["TMPDIR"], found["SPILL"]) == ("/tmp/tmp", "/tmp/spill")  # no NVMe here
    strict = environment_of(name, tmp_path, strict=True)
    check_ray_environment(strict, strict=True)


def check_ray_environment(found, *, strict=False):  # Ray ignores names that it does not know
    known = (Path(ray.__file__).parent / "_raylet.so").read_bytes()
    tuned = [key.encode() for key in found if key.startswith(("RAY_health_", "RAY_grpc_"))]
    assert len(tuned) == (8 if strict else 0) and all(key in known for key in tuned)
    assert found["RAY_AUTH_MODE"] == "token"
    assert found["NCCL_SOCKET_IFNAME"] == "^lo,docker,veth"
    assert (found["TORCH_NCCL_ASYNC_ERROR_HANDLING"], found["NCCL_DEBUG"]) == ("1", "WARN")


@pytest.mark.parametrize("name", LAUNCHED)
def test_what_is_mounted_is_there_and_scratch_is_the_nodes_own_disk(name):
    config = launched(name)
    here = [one for one in config["file_mounts"].values() if not one.startswith("~")]
    assert here and all((ROOT / one).exists() for one in here)
    for kind in ("head", "worker"):
        (start,) = [c for c in config[f"{kind}_start_ray_commands"] if "ray start" in c]
        assert "--object-spilling-directory=$SPILL" in start
    if name in CLOUDS:
        assert "--volume /mnt/nvme:/mnt/nvme" in config["docker"]["run_options"]
        assert any("/mnt/nvme" in command for command in config["initialization_commands"])
    for command in [*config["initialization_commands"], *config["setup_commands"]]:
        subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.parametrize(("name", "cloud"), [*zip(CLOUDS, ("aws", "gcp"), strict=True)])
def test_spot_nodes_watch_for_the_notice(name, cloud):
    (watch,) = [c for c in launched(name)["worker_start_ray_commands"] if "spot-drain" in c]
    assert f"spot-drain.sh {cloud} $RAY_HEAD_IP:6379" in watch and watch.endswith("&")
    assert not [c for c in launched(name)["head_start_ray_commands"] if "spot-drain" in c]


@contextmanager
def metadata(**answers):
    """Serve a cloud's metadata: a text a path, 404 for all others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write((body or "").encode())

        do_PUT = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()


NOTICES = {
    "aws": ({"/latest/api/token": "t"}, {"/latest/meta-data/spot/instance-action": "{}"}),
    "gcp": (
        {"/computeMetadata/v1/instance/preempted": "FALSE"},
        {"/computeMetadata/v1/instance/preempted": "TRUE"},
    ),
}


@pytest.mark.skipif(not shutil.which("curl"), reason="the script asks by curl")
@pytest.mark.parametrize("cloud", NOTICES)
def test_a_spot_notice_drains_the_node(cloud, tmp_path):
    told, ray_command = tmp_path / "told", tmp_path / "ray"
    ray_command.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}\n')
    ray_command.chmod(0o755)
    quiet, notice = NOTICES[cloud]
    with metadata(**quiet) as (server, answers):
        names = {"METADATA": server, "POLL_S": "0.1", "LOCK": str(tmp_path / "lock")}
        process = subprocess.Popen(
            ["bash", str(ROOT / "deploy" / "spot-drain.sh"), cloud, "10.0.0.1:6379"],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "no_proxy": "127.0.0.1", **names},
        )
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        assert not told.exists()
        answers.update(notice)
        assert process.wait(60) == 0
    _, *flags = told.read_text().splitlines()
    drain = cli.commands["drain-node"].make_context("drain-node", flags)  # as Ray parses them
    assert drain.params["address"] == "10.0.0.1:6379"
    assert drain.params["reason"].endswith("PREEMPTION")
    assert 0 < drain.params["deadline_remaining_seconds"] < 120


@pytest.mark.parametrize("name", KUBERAY)
def test_pods_are_pinned_confined_and_hold_no_secret(name):
    spec = ray_cluster(name)
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
    assert container["image"] == IMAGE
    assert pod["metadata"]["labels"] == {"app.kubernetes.io/name": "timbre"}  # of the policy
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["runAsUser"] == 1000
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert all({"cpu", "memory"} <= each.keys() for each in container["resources"].values())
    volumes = [one["secret"] for one in pod["spec"].get("volumes", []) if "secret" in one]
    assert all(one["defaultMode"] == 0o400 for one in volumes)


@pytest.mark.parametrize("name", KUBERAY)
def test_pods_keep_caches_on_the_nodes_disk_and_workers_drain_when_they_end(name):
    spec = ray_cluster(name)
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        (container,) = group["template"]["spec"]["containers"]
        mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        volumes = {one["name"]: one for one in group["template"]["spec"]["volumes"]}
        assert mounts["nvme"] == "/mnt/nvme" and "emptyDir" in volumes["nvme"]
        assert group["rayStartParams"]["object-spilling-directory"] == "/mnt/nvme/spill"
        names = {one["name"]: one["value"] for one in container["env"]}
        assert names["TMPDIR"].startswith("/mnt/nvme")
        hook = (
            container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [""])
        )
        assert ("ray drain-node" in hook[-1]) == (group is not spec["headGroupSpec"])


def test_the_standing_head_keeps_what_it_knows_in_redis():
    options = ray_cluster(STANDING)["gcsFaultToleranceOptions"]
    redis = documents("redis.yaml")
    host, _, port = options["redisAddress"].partition(":")
    assert redis["Service"]["metadata"]["name"] == host
    assert redis["Service"]["spec"]["ports"] == [{"port": int(port)}]
    secret = options["redisPassword"]["valueFrom"]["secretKeyRef"]
    (container,) = redis["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert container["env"][0]["valueFrom"]["secretKeyRef"] == secret
    assert redis["NetworkPolicy"]["spec"]["policyTypes"] == ["Ingress"]
    assert all("gcsFaultToleranceOptions" not in ray_cluster(one) for one in (BUILD, NIGHTLY))


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl")
@pytest.mark.parametrize(
    ("overlay", "strict"), [("kuberay", False), ("kuberay-strict-health", True)]
)
def test_the_overlays_build(overlay, strict):
    done = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / "deploy" / overlay)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    built = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}
    assert {kind for kind, _ in built} == {"RayCluster", "NetworkPolicy", "Service", "StatefulSet"}
    spec = built["RayCluster", "timbre"]["spec"]
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        (container,) = group["template"]["spec"]["containers"]
        assert container["image"] == "registry.example.org/team/timbre:0.2.0"
        names = {each["name"]: each["value"] for each in container["env"]}
        check_ray_environment(names, strict=strict)
        wanted = dict(re.findall(r"(RAY_\w+)=(\d+)", STRICT))
        assert not strict or names.items() >= wanted.items()


STRICT = (ROOT / "deploy" / "strict-health.env").read_text()


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


@pytest.mark.parametrize("line", SUBMITTED)
def test_what_is_submitted_is_a_command_that_its_job_takes(line, monkeypatch):
    words = shlex.split(re.sub(r"\$\([^)]*\)", "x", line.partition("`")[0]).removesuffix(" ..."))
    own, (name, *flags) = apart(words)
    parser = argparse.ArgumentParser()
    add_flags(parser, SubmitConfig)
    parser.parse_args(own)
    if not any("..." in flag for flag in flags):
        job = importlib.import_module(f"jobs.{timbre.COMMANDS[name]}")
        monkeypatch.setattr(job, FLOWS[job.__name__], MagicMock(side_effect=_Parsed))
        with pytest.raises(_Parsed):
            job.main(flags)


def test_the_page_names_what_is_there():
    assert len(COMMANDS) == PAGE.count("python -m jobs.") >= 2
    assert len(SUBMITTED) >= 5
    links = re.findall(r"\]\(\.\./([^)#]+)", PAGE)
    assert len(links) >= 6 and all((ROOT / each).exists() for each in links)


def test_what_is_uploaded_is_the_code_and_nothing_else(tmp_path):
    code = ["jobs/a.py", "pipeline/b/c.toml", "schemas/d.py", "pyproject.toml"]
    code += [f"pipeline/starter/{name}" for name in ("model.json", "model.safetensors")]
    others = [".env", "data/x.wav", "token", "jobs/__pycache__/a.pyc", "tests/t.py", ".git/HEAD"]
    for name in code + others:
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_text("x")
    shutil.copy(ROOT / ".rayignore", tmp_path / "here")
    package = tmp_path / "package.zip"
    create_package(str(tmp_path / "here"), package, include_gitignore=True)
    with ZipFile(package) as zipped:
        files = {name for name in zipped.namelist() if not name.endswith("/")}
    assert files == set(code)


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


async def no_log(*_):
    """Print no line of a job."""
    for line in ():
        yield line


def test_the_log_of_a_job_that_was_killed_is_not_printed_again(monkeypatch, capsys):
    said = "Job entrypoint command failed with exit code 137"
    message = f"{said}, last available logs (truncated to 20,000 chars):\ntag: 0%\nKilled\n"
    monkeypatch.setattr(JobSubmissionClient, "tail_job_logs", no_log)
    with jobs_api(status="FAILED", driver_exit_code=137, message=message) as server:
        assert wait_for_job(JobSubmissionClient(server), "night") == 1
    assert capsys.readouterr().err == f"night: FAILED: {said}\n"


VERSION = {"version": "4", "ray_version": ray.__version__, "ray_commit": "", "session_name": ""}
JOB = {"type": "SUBMISSION", "submission_id": "night", "entrypoint": "python -m jobs.tag_catalog"}


@pytest.mark.parametrize(
    ("status", "driver_exit_code", "code"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 1, 1),
        ("FAILED", 2, 2),
        ("FAILED", 3, 3),
        ("FAILED", -9, 1),  # killed
        ("FAILED", None, 1),  # it never began
        ("STOPPED", None, 1),
    ],
)
def test_a_job_that_is_waited_for_gives_its_own_code(status, driver_exit_code, code, monkeypatch):
    monkeypatch.setattr(JobSubmissionClient, "tail_job_logs", no_log)
    monkeypatch.setattr("pipeline.flows.submit._ASK_AGAIN_S", 0.01)
    with jobs_api(status=status, driver_exit_code=driver_exit_code) as server:
        client = JobSubmissionClient(server)
        assert wait_for_job(client, "night") == code
        with pytest.raises(TimbreError, match="another is lost"):
            wait_for_job(client, "another")
    monkeypatch.setattr("pipeline.flows.submit._MAX_SILENCE_S", 0.05)
    with pytest.raises(TimbreError, match="night is lost"):  # the head is gone
        wait_for_job(client, "night")
