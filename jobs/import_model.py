"""Make a model of a tagger that others have trained on AudioSet, ready to tag with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs import harness
from pipeline.api import import_model
from pipeline.flags import from_flags
from pipeline.models.pretrained.import_config import ImportConfig

if TYPE_CHECKING:
    from pipeline.models.pretrained.importing import Imported


def main(argv: list[str] | None = None) -> int:
    """Parse, import, print the summary."""
    flags = vars(harness.parser(__doc__, ImportConfig).parse_args(argv))

    def job() -> int:
        config = from_flags(ImportConfig, flags)
        print(_done(import_model(config), config.out))
        return harness.OK

    return harness.run(job)


def _done(imported: Imported, out: str) -> str:
    card = imported.card
    source = card.source or {}
    digests = "".join(f"\n  sha256 {one}  {name}" for name, one in source["sha256"].items())
    notes = "".join(f"\n  {note}" for note in card.threshold_notes)
    there = " is there already" if imported.was_done else ""
    return (
        f"{card.model_id}{there}: {len(card.vocabulary.codes)} classes, windows of "
        f"{card.windows.window_s:g} s every {card.windows.hop_s:g} s, embeddings of "
        f"{source['embedding_width']}; licence of the weights: {source['licence']} "
        f"({source['home']})\n  read from {source['read_from']}{digests}{notes}\n"
        f"the model is in {out}"
    )


if __name__ == "__main__":
    harness.exit_process(main())
