"""A training's page: the epoch that is kept and by what, and what the training cost."""

from pipeline.report.page import render_page
from pipeline.report.training_page import training_page

OLD = [
    {"epoch": 1.0, "train_loss": 0.5, "val_loss": 0.6, "val_macro_f1": 0.3},
    {"epoch": 2.0, "train_loss": 0.4, "val_loss": 0.7, "val_macro_f1": 0.5},
]
NEW = [
    row | {"val_s2_loss": row["val_loss"], "val_s1_loss": 0.1, "val_map": 0.4, **cost}
    for row, cost in zip(
        OLD,
        [{"seconds": 61.0, "peak_mib": 900.0}, {"seconds": 1000.0, "peak_mib": 1234.0}],
        strict=True,
    )
]


def page_of(history, select=None, **more):
    config = {"epochs": 9, **({"select": select} if select else {})}
    page = training_page("m-1", {"config": config, "history": history, **more}, {})
    return page, render_page(page)


def test_the_page_names_the_kept_epoch_and_by_what():
    page, text = page_of(NEW, "f1", seconds=1061.0, peak_mib=1234.0)
    assert "the best of 2 epochs by validation macro F1 is number 2" in text
    assert [tile.value for tile in page.tiles] == [0.7, 0.5, 2, "1,061", "1,234 MiB"]
    assert "best epoch by validation macro F1" in text
    table = page.blocks[-1]
    assert table.columns[-3:] == ["validation macro F1", "seconds", "peak MiB"]
    assert table.rows[1] == [2, 0.4, 0.7, 0.7, 0.1, 0.4, 0.5, 1000.0, 1234.0]


def test_older_trainings_have_their_page():
    page, text = page_of(OLD)
    assert "by validation loss after S2 is number 1" in text
    assert [tile.label for tile in page.tiles] == [
        "validation loss",
        "validation macro F1",
        "epochs",
    ]
    assert page.blocks[-1].rows == [[1, 0.5, 0.6, 0.3], [2, 0.4, 0.7, 0.5]]
