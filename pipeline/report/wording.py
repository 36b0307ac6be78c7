"""The words that people read for numbers. PURE."""

from __future__ import annotations

from collections.abc import Mapping


def duration_text(seconds: float) -> str:
    """Return a time in the unit that fits it.

    >>> duration_text(9.26), duration_text(80), duration_text(700), duration_text(9000)
    ('9.3 s', '80 s', '12 min', '2.5 h')
    """
    unit_s, unit = (1, "s") if seconds < 120 else (60, "min") if seconds < 7200 else (3600, "h")
    value = seconds / unit_s
    return f"{value:.1f} {unit}" if 0 < value < 10 else f"{value:,.0f} {unit}"


def size_text(n_bytes: float) -> str:
    """Return a number of bytes in the unit that fits it.

    >>> size_text(0), size_text(950), size_text(1_234_567), size_text(2.5e15)
    ('0 B', '950 B', '1.2 MB', '2,500.0 TB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.1f} TB"


def macro_text(of_present: float | None, of_all: float, n_present: int, n_classes: int) -> str:
    """Return a macro figure: of the classes that are there and, where it is another, of all.

    >>> macro_text(0.5, 0.5, 4, 4), macro_text(0.5, 0.25, 2, 4)
    ('0.500', '0.500 of the 2 classes that are there (0.250 of all 4)')
    """
    if n_present == n_classes:
        return f"{of_all:.3f}"
    classes = "class that is" if n_present == 1 else "classes that are"
    there = f"{of_present or 0:.3f} of the {n_present} {classes} there"
    return f"{there} ({of_all:.3f} of all {n_classes})"


def past_limit_text(
    n: int, n_all: int, limit: float, what: str, *, flag: str = "--max-failed"
) -> str:
    """Return what to say of a share that is past the limit of a flag; else nothing.

    >>> past_limit_text(3, 40, 0.05, "tracks have failed"), past_limit_text(2, 40, 0.05, "failed")
    ('3 of 40 tracks have failed, more than --max-failed 5% allows', '')
    """
    if n <= limit * n_all:
        return ""
    return f"{n:,} of {n_all:,} {what}, more than {flag} {100 * limit:g}% allows"


def thresholds_text(thresholds: Mapping[str, float]) -> str:
    """Return one threshold per class in few words.

    >>> thresholds_text({"cel": 0.5, "cla": 0.5}), thresholds_text({"cel": 0.5, "cla": 0.4})
    ('0.5 for all', 'cel 0.5, cla 0.4')
    """
    values = {f"{value:g}" for value in thresholds.values()}
    if len(values) == 1:
        return f"{values.pop()} for all"
    return ", ".join(f"{code} {value:g}" for code, value in thresholds.items())
