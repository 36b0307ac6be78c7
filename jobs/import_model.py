"""Make a model of a tagger that others have trained on AudioSet, ready to tag with."""

from __future__ import annotations

from typing import Any

from jobs import harness
from pipeline.flows.provenance import provenance
from pipeline.learn.pretrained.family import families
from pipeline.learn.pretrained.importing import ImportConfig, Imported, import_model


def main(argv: list[str] | None = None) -> int:
    """Parse, import, print the summary."""
    flags = vars(_parser().parse_args(argv))

    def job() -> int:
        config = ImportConfig(**flags)
        print(_done(import_model(config, provenance()), config.out))
        return harness.OK

    return harness.run(job)


def _parser() -> Any:
    parser = harness.parser(__doc__)
    add = parser.add_argument
    known = families().values()
    add(
        "--family",
        required=True,
        choices=sorted(families()),
        help="of networks that hear alike; docs/models.md says how good they are",
    )
    add(
        "--variant",
        metavar="NAME",
        help="; ".join(f"{one.name}: {', '.join(v.name for v in one.variants)}" for one in known)
        + "; the first if not given",
    )
    add(
        "--weights",
        metavar="URL|PATH",
        help="the authors' file or folder, or an http address; fetched from them if not given",
    )
    add(
        "--classes",
        default="instruments",
        metavar="instruments|all|TOML",
        help="the eleven instruments, all that the network has, or classes of your own",
    )
    add("--window-s", type=float, metavar="S", help="window in s; the network's own if not given")
    add("--hop-s", type=float, metavar="S", help="from one window to the next in s; likewise")
    add("--out", required=True, metavar="URI", help="the folder for the model")
    return parser


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
