"""A catalogue and a model in, TAGS out: Ray Data, one row in and one row out, a broken file too.

    tracks → [decode once, log-mel, windows] → [the model, an actor pool] → aggregate → commit

The stages are plain functions on tables; Ray Data runs them. A batch of TAGS is committed as one
file, whole or not at all: after a kill the same command tags what has no row yet.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext, Dataset

from pipeline.errors import SpecMismatch, UsageError
from pipeline.flows.cluster import count, progress_bar, ray_session
from pipeline.flows.provenance import provenance
from pipeline.learn.tagging import Tagging, TrackTagger, describe, tagging
from pipeline.store.catalogue import list_tracks
from pipeline.store.folder import Folder
from pipeline.store.tagstore import TagStore, left_to_tag
from schemas.tags import tags_schema

_BLOCK_TRACKS = 8
_MODEL_TRACKS = 8
_COMMIT_TRACKS = 256


@dataclass(frozen=True)
class TagConfig:
    """What to tag, with what, to where."""

    catalog: str
    """A folder, a glob, an audio file, or a .parquet or .csv manifest with a uri column."""
    model: str
    """A model's folder."""
    out: str
    """The folder for tags/ and run.json."""
    aggregate: str | None = None
    """s1, s2 or max; the model's own when None."""
    threshold: float | None = None
    """For every class; the model's own when None."""
    gpu: bool = False
    """A GPU for every actor of the model."""

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold {self.threshold}: expected 0 to 1")


def tag_catalog(config: TagConfig) -> dict[str, Any]:
    """Tag what is new in a catalogue; return run.json."""
    began = monotonic()
    how = tagging(config.model, config.aggregate, config.threshold, gpu=config.gpu)
    tracks = list_tracks(config.catalog)
    store = TagStore(Folder(config.out))
    with store.folder.claimed():
        left = _tag_new(tracks, how, store)
        run = _run_json(config, how, tracks, left, store, seconds=monotonic() - began)
        store.folder.write_json("run.json", run)
    return run


def _tag_new(tracks: pa.Table, how: Tagging, store: TagStore) -> pa.Table:
    """Tag the tracks that are new or changed; return them."""
    _claim(store.folder, how)
    model_id = how.card.model_id
    left, changed = left_to_tag(tracks, store.known(model_id))
    store.forget(changed, model_id)
    if left.num_rows:
        with ray_session(min_cpus=4):
            blocks = [
                left.slice(start, _BLOCK_TRACKS) for start in range(0, left.num_rows, _BLOCK_TRACKS)
            ]
            tracks_left = ray.data.from_arrow(blocks)
            run_stages(tracks_left, how, store, n_tracks=left.num_rows, n_blocks=len(blocks))
    return left


def run_stages(
    tracks: Dataset, how: Tagging, store: TagStore, *, n_tracks: int, n_blocks: int
) -> None:
    """Run the stages over rows of `uri, size_bytes, modified_ns` and, where at hand, `bytes`."""
    quiet()
    n_places = count("GPU") if how.gpu else count("CPU") // 2
    n_actors = max(1, min(n_places, n_blocks))
    # On the CPU Ray Data fuses decoding into the model's actors: each core then does what is next.
    committed = (
        tracks.map_batches(
            partial(describe, how=how), batch_size=None, batch_format="pyarrow", num_cpus=1
        )
        .map_batches(
            TrackTagger,
            fn_constructor_args=(how,),
            batch_size=_MODEL_TRACKS,
            batch_format="pyarrow",
            num_cpus=0 if how.gpu else 1,
            num_gpus=1 if how.gpu else 0,
            compute=ActorPoolStrategy(size=n_actors),
        )
        .map_batches(
            partial(commit, how=how, store=store),
            batch_size=_COMMIT_TRACKS,
            batch_format="pyarrow",
            num_cpus=0.5,
        )
    )
    with progress_bar(total=n_tracks, unit=" tracks", desc="tag") as bar:
        for row in committed.iter_rows():
            bar.update(row["n_tracks"])


def commit(tags: pa.Table, how: Tagging, store: TagStore) -> pa.Table:
    """Write rows of TAGS, and tell how many."""
    store.commit(tags.cast(tags_schema(how.codes)))
    return pa.table({"n_tracks": [tags.num_rows]})


def _claim(folder: Folder, how: Tagging) -> None:
    """Refuse to mix rows that were made in different ways; clear up after a kill."""
    if folder.exists("run.json"):
        before = folder.read_json("run.json")
        same_model = before["identity"]["model_id"] == how.card.model_id
        if same_model and before["identity"] != how.identity:
            raise SpecMismatch(
                f"{folder.uri}: this model has tagged there with another --aggregate or "
                "--threshold; give another --out"
            )
    folder.delete_temporary()
    folder.delete_temporary("tags")
    folder.write_json("run.json", {"identity": how.identity, "complete": False})


def _run_json(
    config: TagConfig,
    how: Tagging,
    tracks: pa.Table,
    left: pa.Table,
    store: TagStore,
    *,
    seconds: float,
) -> dict[str, Any]:
    """Return run.json; every track of the catalogue must have its row by now."""
    statuses = {row["uri"]: row["status"] for row in store.known(how.card.model_id).to_pylist()}
    missing = [uri for uri in tracks["uri"].to_pylist() if uri not in statuses]
    if missing:
        raise RuntimeError(f"{len(missing)} tracks have no row in TAGS, the first is {missing[0]}")
    new = [statuses[uri] for uri in left["uri"].to_pylist()]
    return {
        "identity": how.identity,
        "complete": True,
        "catalog": config.catalog,
        "tracks": tracks.num_rows,
        "tagged": new.count("ok"),
        "failed": new.count("failed"),
        "skipped": tracks.num_rows - left.num_rows,
        "failed_in_all": list(statuses.values()).count("failed"),
        "seconds": round(seconds, 3),
        "provenance": provenance(),
    }


def quiet() -> None:
    """Keep Ray Data's own bars and messages off the terminal."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
