"""Results in; what the report claims of them, and whether it is so, out. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

from pipeline.evaluation.statistics.anova import P_LIMIT
from pipeline.evaluation.statistics.bootstrap import PairedTest
from pipeline.evaluation.statistics.comparison import ResampledRun, paired
from pipeline.evaluation.statistics.significance import holm
from pipeline.reproduction.plan import Claim, FigurePlan
from schemas.reproduction import ClaimRow, DifferenceRow, Verdict

K = TypeVar("K")

FIGURE_OF_MERIT = "macro_f1_present"
"""What decides a claim: macro F1 of the classes that the test clips have."""
SIGNIFICANT = 0.05
"""A difference counts where its corrected p is smaller."""
DESCRIPTORS, TONNETZ = "descriptors", "tonnetz"
"""The features of the ANOVA: the 40 descriptors that the report kept, and the one it dropped."""


def order_claims(figure: FigurePlan, runs: Mapping[str, ResampledRun]) -> list[ClaimRow]:
    """Return what came of a figure's claims, by the results' names: paired tests of macro F1."""
    tested = {
        claim: paired(runs[claim.better], runs[claim.worse], FIGURE_OF_MERIT)
        for claim in figure.claims
        if claim.better in runs and claim.worse in runs
    }
    p_values = {claim: test.p_value for claim, test in tested.items()}
    corrected = _corrected(p_values)
    return [
        _row(figure.name, claim, tested.get(claim), corrected.get(claim)) for claim in figure.claims
    ]


def verdict_of(difference: float | None, p_value: float | None) -> Verdict:
    """Return whether the first is better: by the sign of a difference and its corrected p.

    >>> verdict_of(0.02, 0.01), verdict_of(-0.02, 0.01), verdict_of(0.02, 0.3)
    ('holds', 'fails', 'undecided')
    """
    if difference is None or p_value is None:
        return "not tested"
    if p_value >= SIGNIFICANT:
        return "undecided"
    return "holds" if difference > 0 else "fails"


def anova_claims(figure: str, anova: Mapping[str, Any] | None) -> list[ClaimRow]:
    """Return what came of the report's ANOVA: all descriptors differ by class, Tonnetz does not.

    `anova` is that of explore.json; None where there is none. That Tonnetz has no significant row
    says something only where descriptors of the same clips have: else it is "undecided".
    """
    by_name = {row["feature"]: row for row in (anova or {}).get("features", ())}
    kept = ClaimRow(
        figure, f"Every descriptor differs between the classes at p < {P_LIMIT}.", "not tested"
    )
    kept = _judged_rows(kept, by_name.get(DESCRIPTORS), expected=True)
    dropped = ClaimRow(figure, "Tonnetz does not.", "not tested")
    dropped = _judged_rows(dropped, by_name.get(TONNETZ), expected=False)
    if dropped.verdict == "holds" and not by_name.get(DESCRIPTORS, {}).get("n_significant"):
        detail = f"{dropped.detail}; no descriptor differs either, so the clips may be too few"
        dropped = replace(dropped, verdict="undecided", detail=detail)
    return [kept, dropped]


def _judged_rows(claim: ClaimRow, found: Mapping[str, Any] | None, *, expected: bool) -> ClaimRow:
    """Return a claim on all rows of a feature: that all are significant, or that none is."""
    tested = found["n_rows"] - found["n_untested"] if found else 0
    if not found or not tested:
        return replace(claim, detail="no row of it could be tested")
    n = found["n_significant"]
    holds = n == tested if expected else n == 0
    end = found["worst" if expected else "best"]
    which = "largest" if expected else "smallest"
    p_text = f"the {which} p is {end['p_value']:.2g} ({end['row']})"
    detail = f"{n} of {tested} rows have p < {P_LIMIT}; {p_text}"
    return replace(claim, verdict="holds" if holds else "fails", detail=detail)


def _row(figure: str, claim: Claim, test: PairedTest | None, p_holm: float | None) -> ClaimRow:
    if test is None:
        detail = f"{claim.better} or {claim.worse} has no result"
        return ClaimRow(figure, claim.text, "not tested", detail)
    verdict = verdict_of(test.difference, p_holm)
    return ClaimRow(figure, claim.text, verdict, **asdict(test), p_holm=p_holm)


def differences(figure: FigurePlan, runs: Mapping[str, ResampledRun]) -> list[DifferenceRow]:
    """Return the figure's results against the best of each test split, by results' names.

    Results that are not there are left out, as is the best itself.
    """
    by_dataset: dict[str, list[str]] = {}
    for one in figure.scorings:
        if one.name in runs:
            by_dataset.setdefault(one.dataset, []).append(one.name)
    return [row for names in by_dataset.values() for row in _against_best(figure.name, names, runs)]


def _against_best(
    figure: str, names: Sequence[str], runs: Mapping[str, ResampledRun]
) -> list[DifferenceRow]:
    best, *others = sorted(names, key=lambda name: -(runs[name].metrics.macro_f1_present or 0.0))
    tests = {name: paired(runs[name], runs[best], FIGURE_OF_MERIT) for name in others}
    corrected = _corrected({name: test.p_value for name, test in tests.items()})
    return [
        DifferenceRow(figure, name, best, **asdict(test), p_holm=corrected.get(name))
        for name, test in tests.items()
    ]


def _corrected(p_values: Mapping[K, float | None]) -> dict[K, float]:
    """Return the p values that are known, corrected for how many they are."""
    known = {key: p for key, p in p_values.items() if p is not None}
    return dict(zip(known, holm(list(known.values())), strict=True))
