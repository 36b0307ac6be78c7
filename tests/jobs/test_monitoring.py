"""Dashboard and alerts: well formed, and of series that the code or Ray really exports."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import ray
import yaml

from pipeline.flows.metrics import SERIES

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "timbre.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus-rules.yaml").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
EXPRESSIONS += [rule["expr"] for rule in ALERTS]
TIMBRE = sorted(set(re.findall(r"\bray_(timbre_\w+)", " ".join(EXPRESSIONS))))
RAYS = sorted(set(re.findall(r"\bray_(?!timbre_)(\w+)", " ".join(EXPRESSIONS))))


@pytest.mark.parametrize("name", TIMBRE)
def test_a_series_of_ours_is_exported_with_the_labels_that_are_asked_for(name):
    known = {"job_id", "model", *SERIES[name].labels}
    for expression in EXPRESSIONS:
        for labels in re.findall(rf"ray_{name}\{{([^}}]*)\}}", expression):
            assert set(re.findall(r"(\w+)=", labels)) <= known, expression


def test_what_is_exported_is_shown():
    assert set(TIMBRE) == set(SERIES)


@pytest.fixture(scope="module")
def rays_own() -> str:
    """Return Ray's code, and the texts of its programs, in which the names of its series are."""
    root = Path(ray.__file__).parent
    folders = [root / "dashboard", root / "_private"]
    python = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    raylet = (root / "core" / "src" / "ray" / "raylet" / "raylet").read_bytes()
    return python + raylet.decode("latin-1")


@pytest.mark.parametrize("name", RAYS)
def test_a_series_of_rays_is_in_rays_code(name, rays_own):
    assert name in rays_own


def test_panels_have_numbers_places_and_titles_of_their_own():
    for key in ("id", "title"):
        values = [panel[key] for panel in DASHBOARD["panels"]]
        assert len(values) == len(set(values))
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$(\w+)", " ".join(EXPRESSIONS))) - {"labels"} <= names
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in PANELS)


def test_alerts_say_what_is_wrong_and_what_to_look_at():
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS) >= 6
    for rule in ALERTS:
        assert {"summary", "what"} <= rule["annotations"].keys()
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool (Debian's prometheus)")
def test_prometheus_takes_the_rules():
    rules = str(DEPLOY / "prometheus-rules.yaml")
    subprocess.run(["promtool", "check", "rules", rules], check=True)
