"""Print the instruments in audio files, with the starter model; no Ray, nothing is written.

.venv/bin/python examples/tag_a_file.py song.mp3 other.flac
"""

import sys

from pipeline import TrackTagger, describe, inference_config, list_tracks


def main(paths: list[str]) -> None:
    """Print one line per file: its name and its labels, or why there are none."""
    config = inference_config()  # the starter; inference_config("my/model") takes another model
    names = config.card.vocabulary.names
    tagger = TrackTagger(config)
    for path in paths:
        for described in describe(list_tracks(path), config):  # decoded, cut into windows
            (row,) = tagger(described).to_pylist()  # a row of TAGS, see docs/formats.md
            if row["status"] != "ok":
                print(f"{row['uri']}: {row['status']}, {row['reason']}")
                continue
            found = [f"{names[code]} {row['scores'][code]:.2f}" for code in row["labels"]]
            print(f"{row['uri']}: {', '.join(found) or 'no instrument that the model knows'}")


if __name__ == "__main__":
    main(sys.argv[1:])
