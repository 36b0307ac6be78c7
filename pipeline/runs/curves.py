"""A run's history in, a TensorBoard events file in the model's folder out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tensorboardX import SummaryWriter

from pipeline.store.folder import Folder


def write_curves(out: Folder, history: Sequence[Mapping[str, float]]) -> None:
    """Write `tensorboard/events.out.tfevents...`: every metric of every epoch, and no older one."""
    for name in out.names("tensorboard", suffix=""):
        out.delete(name)
    with tempfile.TemporaryDirectory() as folder:
        with SummaryWriter(folder) as writer:
            for row in history:
                for name, value in row.items():
                    if name != "epoch":
                        writer.add_scalar(name, value, int(row["epoch"]))
        for path in Path(folder).iterdir():
            out.write_bytes(f"tensorboard/{path.name}", path.read_bytes())
