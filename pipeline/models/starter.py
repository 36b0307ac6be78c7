"""What a user names a model by: a folder, several with commas between them, or the word `starter`.

The starter is the model that ships in the package. On a cluster the package lies elsewhere on each
machine, so the word travels, and each process finds the folder by its own package.
"""

from __future__ import annotations

from importlib import resources

from pipeline.errors import UsageError
from pipeline.models.names import STARTER as STARTER

MODEL_FILE, ENSEMBLE_FILE = "model.json", "ensemble.json"
_FOLDER = resources.files("pipeline") / STARTER


def has_starter() -> bool:
    """Say whether this process's package has the starter."""
    return all((_FOLDER / name).is_file() for name in (MODEL_FILE, "model.safetensors"))


def model_uri(name: str) -> str:
    """Return the folder of one model: as it is named, or of `starter` that in the package."""
    if name != STARTER:
        return name
    if not has_starter():
        raise UsageError(
            f"--model {STARTER}: the package has none in {_FOLDER}; install timbre anew, or name "
            "the folder of another model"
        )
    return str(_FOLDER)


def model_names(text: str) -> list[str]:
    """Return the models that `A,B` names; a folder whose own name has a comma is one.

    >>> model_names("starter"), model_names("/models/a, s3://bucket/b")
    (['starter'], ['/models/a', 's3://bucket/b'])
    """
    from pipeline.store.folder import Folder  # as late as can be: it brings pyarrow

    if "," not in text or any(Folder(text).exists(file) for file in (MODEL_FILE, ENSEMBLE_FILE)):
        return [text]
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"--model {text}: expected folders with a comma between them")
    return names


def model_folders(text: str) -> list[str]:
    """Return the folders of the models that are named."""
    return [model_uri(name) for name in model_names(text)]


def for_all_processes(text: str) -> str:
    """Return the name with paths made absolute: other processes may be in other folders.

    >>> for_all_processes("/models/a,starter")
    '/models/a,starter'
    """
    from pipeline.store.folder import Folder

    names = model_names(text)
    return ",".join(name if name == STARTER else Folder(name).uri for name in names)
