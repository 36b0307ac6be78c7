"""`--weights` in, the bytes of its files out: read once by the driver, the same in every worker.

A worker may be on another machine and is in another folder: it gets the bytes with the rest of its
training data, through Ray's object store, and never opens the path or URI itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.errors import StoreError, UsageError
from pipeline.models.names import IMAGENET
from pipeline.store.folder import Folder
from pipeline.store.uris import split_uri
from pipeline.training.config import NO_WEIGHTS

_CONFIG = "config.json"
_TENSORS = (".safetensors", ".bin", ".index.json")
"""Of a published AST's folder, what `transformers` reads beside its config.json."""


def are_files(weights: str | None) -> bool:
    """Say whether a config's weights are a path or URI, and not a word or nothing."""
    return weights not in (None, IMAGENET, NO_WEIGHTS)


@dataclass(frozen=True)
class WeightFiles:
    """A file of tensors, or a published AST's folder, in memory."""

    uri: str
    """As the user named it, made absolute."""
    main: str
    """The name of the file of tensors; '' where a folder was named."""
    files: dict[str, bytes]
    """The bytes of each file, by its name."""

    @classmethod
    def read(cls, uri: str) -> WeightFiles:
        """Read the file or folder; UsageError names the flag where there is none."""
        try:
            return _read(uri)
        except StoreError as error:
            raise UsageError(f"--weights {uri}: {error}") from error

    @property
    def sha256(self) -> dict[str, str]:
        """The hash of each file, by its name."""
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}

    @contextmanager
    def as_path(self) -> Iterator[str]:
        """Give the path of a copy of what was read; UsageError in the block names flag and URI."""
        with TemporaryDirectory(prefix="timbre-weights-") as folder:
            for name, data in self.files.items():
                (Path(folder) / name).write_bytes(data)
            path = str(Path(folder) / self.main)
            try:
                yield path
            except UsageError as error:
                told = str(error).replace(repr(path), self.uri).replace(path, self.uri)
                raise UsageError(f"--{told}" if told.startswith("weights ") else told) from error


def _read(uri: str) -> WeightFiles:
    parent, main = split_uri(uri)
    beside = Folder(parent)
    if main and beside.exists(main):
        names = [main, *([_CONFIG] if main != _CONFIG and beside.exists(_CONFIG) else [])]
        return WeightFiles(uri, main, {name: beside.read_bytes(name) for name in names})
    folder = Folder(uri)
    names = [name for name in folder.names("", suffix="") if name.endswith(_TENSORS)]
    if any(name.endswith(".safetensors") for name in names):  # which `transformers` prefers
        names = [name for name in names if ".bin" not in name]
    if not names:
        raise UsageError(
            f"--weights {uri}: no such file; expected imagenet (timm backbones), a .safetensors or "
            ".pth file, or the folder of a published AST"
        )
    names += [_CONFIG] if folder.exists(_CONFIG) else []
    return WeightFiles(uri, "", {name: folder.read_bytes(name) for name in names})
