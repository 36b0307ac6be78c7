"""The server of the page: who may ask, what it finds, what it streams, what is corrected."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
import requests

from pipeline.store.folder import Folder
from pipeline.store.tags.track_facts.corrections import read_corrections
from tests.browsing.catalogues import (
    HOSTILE,
    LENGTH_S,
    OTHER,
    TOKEN,
    make_catalogue,
    row_of,
    served,
    write,
)

TRACKS = ["a.wav", "b.flac", "c.aiff", "gone.wav", HOSTILE, "z.mp3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_catalogue(tmp_path_factory.mktemp("browsing"))


@pytest.fixture(scope="module")
def address(folder):
    with served(folder) as found:
        yield found


@pytest.fixture
def ask(address):
    session = requests.Session()
    session.cookies.set("timbre", TOKEN)

    def get(path: str, status: int = 200, **query):
        answer = session.get(address + path, params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    get.session, get.address = session, address
    get.post = lambda path, value: session.post(address + path, json=value)
    return get


def number(ask, name: str) -> int:
    found = ask("/api/find", q="status ~ ''", limit=100)["rows"]
    return next(row["n"] for row in found if row["title"] == name)


def test_only_who_has_the_token_is_answered(address):
    for path in ("/", "/page/main.js", "/api/about", "/api/find", "/audio?n=0", "/?token=wrong"):
        answer = requests.get(address + path)
        assert answer.status_code == 403 and "token" in answer.json()["error"]
    opened = requests.get(f"{address}/?token={TOKEN}")
    assert opened.status_code == 200 and opened.url == f"{address}/"
    assert "HttpOnly" in opened.history[0].headers["Set-Cookie"]
    assert "default-src 'none'" in opened.headers["Content-Security-Policy"]


def test_a_name_that_another_page_gives_this_machine_is_refused(ask):
    answer = ask.session.get(f"{ask.address}/api/about", headers={"Host": "evil.example:80"})
    assert answer.status_code == 403


@pytest.mark.parametrize("name", ["../app.py", "..%2Fapp.py", "/etc/passwd", "main.py", "x.js"])
def test_no_other_file_is_given(ask, name):
    assert ask.session.get(f"{ask.address}/page/{name}").status_code == 404


def test_tracks_are_found_by_labels_scores_and_order(ask):
    found = ask("/api/find", q="cel", order="cel desc")
    assert [row["title"] for row in found["rows"]] == ["a.wav", "b.flac", "c.aiff"]
    assert found["total"] == 3 and found["rows"][1]["place"] == "album one"
    assert [row["title"] for row in ask("/api/find", q="flu > 0.65")["rows"]] == [
        "b.flac",
        "gone.wav",
    ]
    assert ask("/api/find", q="status = failed")["rows"][0]["reason"] == "not_audio"


def test_pages_are_parts_of_one_order(ask):
    whole = [row["n"] for row in ask("/api/find", order="duration desc")["rows"]]
    parts = [ask("/api/find", order="duration desc", offset=k, limit=2) for k in (0, 2, 4)]
    assert [row["n"] for part in parts for row in part["rows"]] == whole


def test_what_is_like_a_track_comes_nearest_first(ask):
    found = ask("/api/find", like=number(ask, "a.wav"))["rows"]
    assert found[0]["title"] == "c.aiff" and "a.wav" not in [row["title"] for row in found]
    assert found[0]["similarity"] > found[-1]["similarity"]
    only = ask("/api/find", like=number(ask, "a.wav"), q="flu")["rows"]
    assert {row["title"] for row in only} == {"b.flac", "gone.wav", HOSTILE}


@pytest.mark.parametrize(
    ("path", "query", "told"),
    [
        ("/api/find", {"q": "celo"}, "did you mean cel"),
        ("/api/find", {"order": "size"}, "expected a word"),
        ("/api/find", {"limit": "x"}, "expected a number"),
        ("/api/track", {"n": 99}, "no such track"),
        ("/api/track", {}, "no such track"),
        ("/api/queue", {"kind": "best"}, "expected one of"),
        ("/api/queue", {"kind": "unsure", "code": "x"}, "expected one of"),
        ("/api/find", {"like": 0, "from": 1, "to": 2}, "cnn-0123456789ab"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_line(ask, path, query, told):
    error = ask(path, 400, **query)["error"]
    assert told in error and "\n" not in error.strip()


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        (None, 200, slice(None)),
        ("bytes=10-19", 206, slice(10, 20)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=100-", 206, slice(100, None)),
    ],
)
def test_audio_is_streamed_by_ranges(ask, folder, asked, status, part):
    data = (folder.parent / "music" / "a.wav").read_bytes()
    headers = {"Range": asked} if asked else {}
    answer = ask.session.get(
        f"{ask.address}/audio", params={"n": number(ask, "a.wav")}, headers=headers
    )
    assert answer.status_code == status and answer.content == data[part]
    assert answer.headers["Content-Type"] == "audio/wav"


def test_a_range_beyond_the_end_is_refused(ask):
    answer = ask.session.get(
        f"{ask.address}/audio",
        params={"n": number(ask, "a.wav")},
        headers={"Range": "bytes=99999999-"},
    )
    assert answer.status_code == 416


def test_a_file_that_is_gone_is_said_to_be(ask):
    assert ask("/audio", 404, n=number(ask, "gone.wav"))["error"] == "the file is gone"


def test_what_browsers_do_not_play_comes_as_opus(ask):
    n = number(ask, "c.aiff")
    assert ask("/api/track", n=n)["plays"] is False
    answer = ask.session.get(f"{ask.address}/audio", params={"n": n, "as": "opus"})
    with av.open(io.BytesIO(answer.content)) as file:
        assert file.streams.audio[0].codec_context.name in ("opus", "libopus")
        assert file.duration / av.time_base == pytest.approx(LENGTH_S, abs=0.1)


def test_the_picture_shows_the_tone_where_it_is(ask):
    bands = []
    for name in ("a.wav", "b.flac"):  # 220 and 440 Hz
        answer = ask.session.get(f"{ask.address}/api/logmel", params={"n": number(ask, name)})
        height, width = map(int, answer.headers["X-Shape"].split(","))
        picture = np.frombuffer(answer.content, np.uint8).reshape(height, width)
        assert picture.max() == 255
        bands.append(int(picture.mean(axis=1).argmax()))
    assert 0 < bands[0] < bands[1]


def test_a_track_has_its_windows_intervals_and_facts(ask):
    found = ask("/api/track", n=number(ask, "a.wav"))
    assert found["windows"]["scores"]["cel"] == pytest.approx([0.9] * 3)
    assert found["intervals"] == [{"code": "cel", "start_s": 2.0, "end_s": 4.0, "score": 0.75}]
    assert found["facts"]["confidence of cel"] == pytest.approx(0.9)


def test_what_a_person_says_counts_at_once_and_stays(ask, folder):
    n = number(ask, "a.wav")
    said = {"n": n, "code": "voi", "verdict": "present", "start_s": 1.0, "end_s": 3.0}
    assert ask.post("/api/correct", said).json()["labels"] == ["cel", "voi"]
    removed = {"n": n, "code": "cel", "verdict": "absent"}
    now = ask.post("/api/correct", removed).json()
    assert now["labels"] == ["voi"] and now["rejected"] == ["cel"]
    assert [one["code"] for one in now["intervals"]] == ["voi"]
    assert ask("/api/find", q="voi")["total"] == 1 and ask("/api/find", q="cel")["total"] == 2
    kept = read_corrections(Folder(str(folder))).rows.to_pylist()
    assert {(row["code"], row["was_labelled"], row["author"]) for row in kept} == {
        ("voi", False, "ann"), ("cel", True, "ann")
    }  # fmt: skip
    cello = next(row for row in ask("/api/precision")["rows"] if row["code"] == "cel")
    assert (cello["n_judged"], cello["n_right"], cello["precision"]) == (1, 0, 0.0)
    assert ask.post("/api/undo", {}).json()["labels"] == ["cel", "voi"]
    assert ask.post("/api/undo", {}).json()["labels"] == ["cel"]
    assert not read_corrections(Folder(str(folder)))
    assert "nothing is left to undo" in ask.post("/api/undo", {}).json()["error"]


def test_several_may_be_said_and_undone_at_once(ask, folder):
    n, codes = number(ask, "a.wav"), ["cel", "flu", "voi"]
    said = [{"n": n, "code": code, "verdict": "absent"} for code in codes]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda one: ask.post("/api/correct", one), said))
        assert len(read_corrections(Folder(str(folder))).rows) == 3
        undone = list(pool.map(lambda _: ask.post("/api/undo", {}).status_code, codes))
    assert undone == [200, 200, 200]
    assert not read_corrections(Folder(str(folder)))


@pytest.mark.parametrize(
    "said",
    [
        {"n": 77, "code": "cel", "verdict": "present"},
        {"n": "0", "code": "cel", "verdict": "present"},
        {"n": 0, "code": "tru", "verdict": "present"},
        {"n": 0, "code": "cel", "verdict": "maybe"},
        {"n": 0, "code": "cel", "verdict": "present", "start_s": 3, "end_s": 1},
    ],
)
def test_what_makes_no_sense_is_not_kept(ask, folder, said):
    assert ask.post("/api/correct", said).status_code == 400
    assert not read_corrections(Folder(str(folder)))


def test_a_form_of_another_page_cannot_correct(ask, folder):
    said = {"n": 0, "code": "voi", "verdict": "present"}
    assert ask.session.post(f"{ask.address}/api/correct", data=said).status_code == 400
    assert not read_corrections(Folder(str(folder)))


def test_the_least_sure_comes_first_and_what_is_judged_no_more(ask):
    first = ask("/api/queue", kind="unsure")["rows"][0]
    assert (first["title"], first["code"]) == ("c.aiff", "cel") or first["code"] == "voi"
    ask.post("/api/correct", {"n": first["n"], "code": first["code"], "verdict": "present"})
    then = ask("/api/queue", kind="unsure")["rows"]
    assert (first["n"], first["code"]) not in [(row["n"], row["code"]) for row in then]
    ask.post("/api/undo", {})


def test_labels_at_random_are_the_models_and_the_same_each_time(ask):
    rows = ask("/api/queue", kind="random")["rows"]
    assert rows == ask("/api/queue", kind="random")["rows"] and len(rows) == 6
    labels = {row["n"]: row["labels"] for row in ask("/api/find", q="")["rows"]}
    assert all(row["code"] in labels[row["n"]] for row in rows)


def test_where_two_models_disagree(tmp_path):
    tags = make_catalogue(tmp_path)
    music = str(tmp_path / "music")
    other = row_of(f"{music}/a.wav", (0.1, 0.1, 0.9), OTHER)
    write(tags, [other], catalogue=music, model_id=OTHER)
    with served(tags) as address:
        found = requests.get(
            f"{address}/api/queue", params={"kind": "disagree"}, cookies={"timbre": TOKEN}
        ).json()["rows"]
    assert [(row["title"], row["code"], row["why"][:22]) for row in found] == [
        ("a.wav", "cel", "only this model says s"), ("a.wav", "voi", "only the other model s")
    ]  # fmt: skip


def test_the_map_has_a_point_for_each_track_with_an_embedding(ask):
    found = ask("/api/map")
    assert len(found["n"]) == len(found["x"]) == len(found["code"]) == 5
    assert 0 < found["explained"] <= 1 and all(0 <= x <= 1 for x in found["x"])


def test_a_track_that_failed_is_not_opened_whatever_its_row_names(tmp_path):
    tags = make_catalogue(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("not music")
    failed = {"status": "failed", "reason": "not_audio", "labels": [], "scores": None}
    rows = [row_of(uri, (0, 0, 0)) | failed for uri in (str(secret), f"file://{secret}")]
    write(tags, rows, catalogue=str(tmp_path))
    with served(tags) as address:
        cookies = {"timbre": TOKEN}
        found = requests.get(
            f"{address}/api/find", {"q": 'uri ~ "secret", status = failed'}, cookies=cookies
        )
        for row in found.json()["rows"]:
            for path in ("/audio", "/api/logmel"):
                answer = requests.get(address + path, {"n": row["n"]}, cookies=cookies)
                assert answer.status_code == 400 and "not music" not in answer.text
    assert found.json()["total"] == 2
