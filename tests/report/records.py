"""Records and pages in one call, for tests of both."""

from __future__ import annotations

from pipeline.evaluation.runs import summary
from pipeline.evaluation.runs.scored import Scored
from pipeline.evaluation.statistics.evaluation import Measured, evaluation_of
from pipeline.report.pages.build_page import build_page
from pipeline.report.pages.evaluation_page import evaluation_page
from schemas.build_report import BuildReport


def build_report(segments, ledger, **given):
    """What is written of a build, and its page."""
    report = summary.build_report(segments, ledger, **given)
    return report.to_dict(), build_page(report)


def evaluation_report(metrics, *, truth, scores, class_codes, class_names, provenance, **given):
    """What is written of an evaluation, and its page; each item is a recording of its own."""
    uris = [str(k) for k in range(len(truth))]
    scored = Scored(uris, list(class_codes), truth, scores, uris)
    build = given.pop("build", None)
    found = evaluation_of(
        Measured(
            scored,
            metrics,
            class_names,
            provenance,
            build=None if build is None else BuildReport.from_dict(build),
            **given,
        )
    )
    return found.record.to_dict(), evaluation_page(found)
