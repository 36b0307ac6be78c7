"""A playlist for every instrument, the tracks with the highest scores first."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.exports import texts
from pipeline.exports.source import BATCH_ROWS
from pipeline.exports.task import Export, Task
from pipeline.exports.texts import ENTRIES


def _write(task: Task) -> str:
    parts = [ENTRIES.empty_table()]
    for _, _, ok in task.batches():
        parts.append(texts.entries(ok))
        task.counts["tracks have no label and are on no playlist"] += sum(
            not row["labels"] for row in ok
        )
        task.counts[
            "uris cannot stand on a line of a playlist: there they are percent-encoded, "
            "paths as file:// URIs"
        ] += sum(bool(row["labels"]) and not texts.is_on_one_line(row["uri"]) for row in ok)
    entries, codes = pa.concat_tables(parts), task.source.codes
    for code in codes:
        of_code = entries.filter(pc.equal(entries["code"], code))
        ranked = of_code.sort_by([("score", "descending"), ("uri", "ascending")])
        with task.writing(f"{code}.m3u8") as write:
            write(texts.playlist_head(task.source.origin.name(code)))
            for start in range(0, ranked.num_rows, BATCH_ROWS):
                rows = ranked.slice(start, BATCH_ROWS).to_pylist()
                write(texts.playlist_lines(rows))
    return f"{len(codes)} playlists, {entries.num_rows:,d} entries; failed tracks are left out"


EXPORT = Export("m3u", _write)
