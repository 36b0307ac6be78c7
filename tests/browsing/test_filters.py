"""The filters on the page of a tagging run find what the page counts, in a real catalogue."""

from __future__ import annotations

import shlex

import pytest

from jobs import harness
from pipeline.browsing.serve import browse
from pipeline.configs.browse import BrowseConfig
from pipeline.errors import UsageError
from pipeline.flags import from_flags
from pipeline.report.tagging.failures import reasons_table
from pipeline.report.tagging.filters import browse_command, of_reason, with_label
from pipeline.report.tagging.new_and_gone import new_table
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.conditions import condition_of
from pipeline.searching.words import columns_of
from schemas.tagging_run import TaggingRun
from tests.browsing.catalogues import CODES, make_catalogue


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_catalogue(tmp_path_factory.mktemp("filters"))


@pytest.fixture(scope="module")
def catalogue(folder):
    return TaggedCatalogue.open(str(folder), None, in_memory=True)


def filters(table) -> dict[str, tuple[int, str]]:
    tracks, of = table.columns.index("tracks"), table.columns.index("filter")
    return {row[0]: (row[tracks], row[of]) for row in table.rows}


def night(catalogue, started_at: str, tagged: int) -> TaggingRun:
    counts = {code: catalogue.count(code) * (tagged > 0) for code in CODES}
    names = catalogue.run.class_names
    return TaggingRun(started_at=started_at, tagged=tagged, labels_of_run=counts, class_names=names)


def test_the_filter_of_an_instrument_finds_the_tracks_of_the_run(catalogue):
    run = night(catalogue, "2026-11-21T02:00:00+00:00", 5)
    found = filters(new_table(run, None, []))
    assert set(found) == {"cello", "flute"}  # no track has a voice
    for n, expression in found.values():
        assert catalogue.count(expression) == n > 0
    later = night(catalogue, "2026-11-22T02:00:00+00:00", 5)
    for _, expression in filters(new_table(later, None, [])).values():
        assert catalogue.count(expression) == 0


def test_the_filter_of_a_reason_finds_the_failed_tracks(catalogue):
    n = catalogue.count("status = failed")
    run = TaggingRun(failed=n, reasons={"not_audio": n})
    assert [catalogue.count(of) for _, of in filters(reasons_table(run, None)).values()] == [n]
    assert n > 0


@pytest.mark.parametrize("reason", ["not_audio", "and", "a\"b' or cel", "x\\", "día"])
def test_a_reason_is_only_a_value(reason):
    condition = condition_of(of_reason(reason), columns_of(CODES, [], {}, windows=False))
    assert condition.values == ("failed", reason)


@pytest.mark.parametrize("code", ["cel", "status", "and", "7", "Ω"])
def test_a_label_may_be_called_like_a_column_or_a_word(code):
    columns = columns_of([code], [], {}, windows=False)
    assert condition_of(with_label(code), columns).values == (code,)
    assert with_label("a b") == ""


def test_the_command_is_one_of_the_job(folder):
    words = shlex.split(browse_command("/srv/a b's/tags", 'labels.cel and uri ~ "x y"'))
    assert words[:3] == ["python", "-m", "jobs.browse"]
    flags = vars(harness.parser("", BrowseConfig).parse_args(words[3:]))
    config = from_flags(BrowseConfig, flags)
    assert (config.tags, config.where) == ("/srv/a b's/tags", 'labels.cel and uri ~ "x y"')
    assert config.open


def test_the_address_that_is_printed_has_the_filter(folder):
    class PrintedError(Exception):
        pass

    def ready(address: str) -> None:
        raise PrintedError(address)

    with pytest.raises(PrintedError, match=r"/\?token=[\w-]+#q=cel%20and%20not%20flu$"):
        browse(BrowseConfig(tags=str(folder), where="cel and not flu"), ready)
    with pytest.raises(PrintedError, match=r"/\?token=[\w-]+$"):
        browse(BrowseConfig(tags=str(folder)), ready)
    with pytest.raises(UsageError, match=r"--where.*did you mean cel"):
        browse(BrowseConfig(tags=str(folder), where="celo"), ready)
