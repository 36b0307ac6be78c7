"""README, CONTRIBUTING and docs: blocks of code run, links, flags and names are there."""

import ast
import json
import re
import shlex
from dataclasses import fields

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import jobs.__main__ as timbre
import pipeline
from jobs.submit import apart
from pipeline.audio.description.attributes.timbral import ATTRIBUTES
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.store.folder import Folder
from pipeline.store.tags.tag_index import INDEX
from schemas.catalogue import CATALOGUE
from schemas.clips import clips_schema
from schemas.corrections import CORRECTIONS
from schemas.features import features_schema
from schemas.gone import GONE
from schemas.ledger import LEDGER
from schemas.segments import SEGMENTS
from schemas.tagging_run import TaggingRun
from schemas.tags import tags_schema
from schemas.timeline import EMBEDDINGS, INTERVALS, WINDOW_EMBEDDINGS, windows_schema
from tests.pages import PAGES, ROOT, fenced, inline, links, parser_of, sections, shell_lines

CODES = ["cel", "pia"]
FENCED = [(page.name, kind, text) for page in PAGES for kind, text in fenced(page)]
PYTHON = [(page, text) for page, kind, text in FENCED if kind == "python"]
QUERIES = [(page, text) for page, kind, text in FENCED if kind == "sql"]
ELSEWHERE = {"--file", "--tag", "--build-arg", "--autoscaling-config", "--render"}
"""Flags of docker, ray and benchmarks that the text names without their program."""
FOLDERS = {path.name for root in (ROOT, ROOT / "pipeline") for path in root.glob("[a-z]*/")} - {
    "datasets",  # also what `jobs.reproduce` writes
    "exports",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a folder with a demo's dataset and tags, and a tagging of a manifest: few rows."""
    root = tmp_path_factory.mktemp("docs")
    spec = LogMelSpec()
    bare = {"segment_id": "a_0", "ytid": "a", "n_frames": 2, "classes": ["cel"], "split": "train"}
    logmel = np.zeros((spec.n_mels, 2), "<f2").tobytes()
    described = pa.Table.from_pylist([bare | {"logmel": logmel}], features_schema(spec.to_dict()))
    row = {"model_id": "m", "status": "ok", "labels": ["cel"], "scores": {"cel": 0.9, "pia": 0.1}}
    bright = {"attributes": ["timbral"], "timbral_brightness": 70.0, "timbral_roughness": 20.0}
    rows = [row | {"uri": uri} | bright for uri in ("a.wav", "gone.wav")]
    tags = pa.Table.from_pylist(rows, tags_schema(CODES, ATTRIBUTES.columns))
    gone = pa.Table.from_pylist([{"uri": "gone.wav"}], GONE)
    listed = pa.schema([*CATALOGUE, pa.field("artist", pa.string())])
    said = pa.Table.from_pylist([{"uri": "a.wav", "artist": "Ada"}], listed)
    made, name = Folder(str(root)), "model=m/part=00-of-1/date=2026-11-30/0.parquet"
    made.write_table("demo/dataset/features/train-0.parquet", described)
    made.write_table(f"demo/tagging/tags/{name}", tags)
    made.write_table(f"tagging/tags/{name}", tags)
    made.write_table("tagging/gone/model=m/00-of-1.parquet", gone)
    made.write_table("tagging/catalogue/model=m/00-of-1.parquet", said)
    run = TaggingRun(tracks=2, tagged=2, labels_in_all={"cel": 2})
    (root / "demo" / "tagging" / "run.json").write_text(json.dumps(run.to_dict()))
    return root


@pytest.mark.parametrize(("page", "block"), [one for one in PYTHON if one[0] != "api.md"])
def test_a_block_of_python_runs(page, block, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(compile(block, page, "exec"), names)
    assert {"run", "logmels", "datasets", "by_pandas"} & names.keys()  # has found its files


def test_what_the_blocks_of_the_api_import_is_there():
    """`tests/test_api_page.py`, which is slow, runs them."""
    parsed = [ast.parse(text) for page, text in PYTHON if page == "api.md"]
    imports = [node for block in parsed for node in block.body if isinstance(node, ast.ImportFrom)]
    ours = {one.name for node in imports if node.module == "pipeline" for one in node.names}
    assert len(ours) > 20 and ours <= set(pipeline.__all__)


def test_queries_find_what_counts(folder, monkeypatch):
    monkeypatch.chdir(folder)
    there, said = [duckdb.sql(text).to_arrow_table().to_pylist() for _, text in QUERIES]
    assert [row["uri"] for row in there] == ["a.wav"]
    assert {row["uri"]: row["artist"] for row in said} == {"a.wav": "Ada", "gone.wav": None}


def test_every_other_block_is_a_drawing_or_a_diff():
    """What `tests/test_contributing.py` applies, what a program printed, and lists of files."""
    kinds = {(page, kind) for page, kind, _ in FENCED if kind not in ("python", "sql")}
    drawings = {(page, "") for page in ("README.md", "design.md", "formats.md")}
    assert kinds <= drawings | {("CONTRIBUTING.md", "diff")}


def test_an_anchor_is_as_github_makes_it():
    text = "# run.json, and `.lock` (2026-11-28)\n```\n# no heading\n```\n## One --out"
    assert sections(text) == {"runjson-and-lock-2026-11-28", "one---out"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_heading(page):
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in sections(target.read_text()), (target.name, anchor)


TIMBRE = [
    (page.name, one)
    for page in PAGES
    for line in [*shell_lines(page.read_text()), *inline(page.read_text())]
    for one in re.findall(r"^\.venv/bin/timbre ([a-z]+ .*?)(?: *#.*)?$", line)
]


@pytest.mark.parametrize(("page", "line"), TIMBRE)
def test_a_line_of_timbre_is_parsed(page, line):
    name, *words = shlex.split(line)
    if name == "submit":
        own, (name, *words) = apart(words)
        parser_of("submit").parse_args(own)
    parser_of(name).parse_args(words)


IN_TEXT = [
    (page.name, *found[0])
    for page in PAGES
    for code in inline(page.read_text())
    if (found := re.findall(r"^(?:jobs\.|timbre )([a-z_]+) (--.*)", code))
    and page.name != "CONTRIBUTING.md"  # whose flags are of its diffs
]


@pytest.mark.parametrize(("page", "job", "words"), IN_TEXT)
def test_flags_and_values_in_the_text_are_the_job_s(page, job, words):
    parser = parser_of(job, *(["--corrections", "URI"] if "--corrections" in words else []))
    for action in parser._actions:  # the text names some flags, a command line needs them all
        action.required = False
    whole = re.sub(r"[\[(|].*| -- .*|\.\.\.", "", words)
    known = {option for action in parser._actions for option in action.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", whole)) <= known
    if whole == words and not re.search(r"\b(N|X|K|S|SHARE|NAMES?)\b|--[a-z-]+$", words):
        parser.parse_args(shlex.split(words))


def test_every_flag_that_is_named_is_some_job_s():
    variants = [(job, ()) for job in timbre.COMMANDS.values()] + [("train", ("--corrections", "U"))]
    known = {
        option
        for job, words in variants
        for action in parser_of(job, *words)._actions
        for option in action.option_strings
    }
    for page in PAGES:
        for code in inline(page.read_text()):
            if code.startswith("--"):
                assert re.match(r"--[a-z-]+", code)[0] in known | ELSEWHERE, (page.name, code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_code_that_is_named_is_there(page):
    for code in inline(page.read_text()):
        if re.fullmatch(r"[a-z_]+/[a-z0-9_/-]*(\.py)?", code) and code.partition("/")[0] in FOLDERS:
            places = [ROOT, ROOT / "pipeline", *(ROOT / "pipeline").glob("*/")]
            assert any((place / code).exists() for place in places), (page.name, code)


TABLES = {
    "SEGMENTS": SEGMENTS,
    "LEDGER": LEDGER,
    "CLIPS": clips_schema(44_100),
    "FEATURES": features_schema(LogMelSpec().to_dict()),
    "TAGS": tags_schema(CODES, ATTRIBUTES.columns),
    "WINDOWS": windows_schema(CODES),
    "INTERVALS": INTERVALS,
    "EMBEDDINGS": EMBEDDINGS,
    "WINDOW_EMBEDDINGS": WINDOW_EMBEDDINGS,
    "CORRECTIONS": CORRECTIONS,
    "GONE": GONE,
    "CATALOGUE": CATALOGUE,
}


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_a_table_is_on_the_page_of_formats(table):
    text = (ROOT / "docs" / "formats.md").read_text()
    assert table in text
    assert [name for name in TABLES[table].names if f"`{name}`" not in text] == []


def test_every_key_of_run_json_is_on_the_page_of_formats():
    text = (ROOT / "docs" / "formats.md").read_text().split("### run.json")[1].split("\n## ")[0]
    keys = [field.name for field in fields(TaggingRun)]
    assert [key for key in keys if f"`{key}`" not in text] == ["is_comparable"]  # is not written


def test_an_index_has_as_many_bytes_as_the_page_says():
    (n_bytes,) = re.findall(r"(\d+) bytes a track, with", (ROOT / "docs/formats.md").read_text())
    assert int(n_bytes) == sum(field.type.bit_width for field in INDEX) // 8
