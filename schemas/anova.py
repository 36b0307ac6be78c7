"""ANOVA: one row is one statistic of one row of a feature. Key: feature, row, statistic."""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import column

ANOVA = pa.schema(
    [
        column("feature", pa.string(), "the feature's name"),
        column("row", pa.string(), "the row of the feature, such as one of its coefficients"),
        column("statistic", pa.string(), "what is taken over a clip's frames: mean or var"),
        column("f_value", pa.float64(), "F: variance between the classes over that within them"),
        column("p_value", pa.float64(), "chance of such an F where classes do not differ"),
        column(
            "n_clips",
            pa.int64(),
            "recordings with clips of one class and a finite value",
        ),
        column("eta_squared", pa.float64(), "share of the variance that the class explains"),
    ]
)
