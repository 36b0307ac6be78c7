"""A cap per class: strict, rare classes first, the same everywhere, and all of it said."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs import build_subset
from pipeline.datasets.build_plan import BuildConfig, make_plan
from pipeline.errors import UsageError
from pipeline.selection.cap import cap_classes, cap_classes_of_splits
from schemas.columns import CODES as LISTS

CODES = ["cel", "pia", "voi"]


@pytest.fixture
def chosen(rng):
    """Segments as AudioSet has them: the rarer a class, the more of its clips have voice too."""
    rows = [
        [code for code, p in zip(CODES, (0.02, 0.2, 0.8), strict=True) if rng.random() < p]
        for _ in range(3000)
    ]
    rows = [row for row in rows if row]
    ids = [f"v{k}_0" for k in range(len(rows))]
    return pa.table({"segment_id": ids, "classes": pa.array(rows, LISTS)})


def counts_of(table):
    return Counter(code for row in table["classes"].to_pylist() for code in row)


@pytest.mark.parametrize("most", [1, 60, 400])
def test_no_class_has_more_and_nothing_is_left_out_in_vain(chosen, most):
    kept, left_out = cap_classes(chosen, CODES, most=most)
    before, after = counts_of(chosen), counts_of(kept)
    assert max(after.values()) <= most
    assert left_out == {code: before[code] - after[code] for code in CODES}
    ids = set(kept["segment_id"].to_pylist())
    for row in chosen.to_pylist():
        assert row["segment_id"] in ids or any(after[code] == most for code in row["classes"])


def test_a_rare_class_keeps_what_it_has(chosen):
    kept, left_out = cap_classes(chosen, CODES, most=100)
    assert counts_of(chosen)["cel"] < 100
    assert left_out["cel"] == 0 < left_out["pia"] < left_out["voi"]
    assert counts_of(kept)["voi"] == 100


def test_the_same_are_taken_in_whatever_order_they_come(chosen):
    order = np.random.default_rng(1).permutation(len(chosen))
    ids = [
        cap_classes(table, CODES, most=50)[0]["segment_id"].to_pylist()
        for table in (chosen, chosen.take(order))
    ]
    assert ids[0] == sorted(ids[0], key=chosen["segment_id"].to_pylist().index)
    assert set(ids[0]) == set(ids[1])


def test_without_need_nothing_changes(chosen):
    kept, left_out = cap_classes(chosen, CODES, most=5000)
    assert kept.equals(chosen) and not any(left_out.values())


@pytest.fixture
def sheet(tmp_path):
    """Six cellos, one with a voice, and three voices."""
    labels = ["/m/01xqw"] * 5 + ["/m/01xqw,/m/02zsn"] + ["/m/02zsn"] * 3
    lines = [f'v{k}, 0.000, 10.000, "{mids}"' for k, mids in enumerate(labels)]
    path = tmp_path / "x.csv"
    path.write_text("# YTID\n" + "\n".join(lines) + "\n")
    return str(path)


def test_a_dry_run_says_what_was_left_out(sheet, tmp_path, capfd):
    argv = ["--segments", sheet, "--out", str(tmp_path / "ds"), "--dry-run"]
    assert build_subset.main([*argv, "--max-per-class", "3"]) == 0
    said = capfd.readouterr().out
    plan = make_plan(BuildConfig((sheet,), "unused", max_per_class=3))
    n_left = 9 - plan.segments.num_rows
    assert f"left out by --max-per-class 3: {n_left} segments (" in said
    assert f"9 chosen, {plan.segments.num_rows} planned" in said
    assert max(counts_of(plan.segments).values()) == 3
    assert build_subset.main(argv) == 0
    assert "--max-per-class" not in capfd.readouterr().out


def test_a_cap_of_none_is_refused(sheet):
    with pytest.raises(UsageError, match="--max-per-class 0: expected a whole number from 1 up"):
        BuildConfig((sheet,), "unused", max_per_class=0)


def test_a_cap_of_each_split_is_one_for_each(chosen):
    splits = ["train", "test", "val"] * len(chosen)
    table = chosen.append_column("split", pa.array(splits[: len(chosen)]))
    kept = cap_classes_of_splits(table, CODES, most=20)
    for split in ("train", "val", "test"):
        rows = kept.filter(pc.equal(kept["split"], split))
        of_split = table.filter(pc.equal(table["split"], split))
        assert rows.equals(cap_classes(of_split, CODES, most=20)[0])
    assert counts_of(kept)["voi"] == 60
