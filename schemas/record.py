"""What every json of a run is: a frozen dataclass with a version, written and read in one place.

A record's fields are the keys of its json. Files of older versions have no `version`, and may lack
keys: those take the defaults of their fields. Keys of later versions are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, ClassVar, Self

_EMPTY: tuple[object, ...] = (None, "", {})


class Record:
    """Base of the dataclasses that are written as json."""

    version: ClassVar[int] = 1
    """Goes up where older programs would misread what is written."""
    omitted: ClassVar[frozenset[str]] = frozenset()
    """Fields that are not written where they are None or empty."""

    def to_dict(self) -> dict[str, Any]:
        """Return what is written as json: plain numbers, texts, lists and dicts."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        kept = {k: v for k, v in values.items() if k not in self.omitted or v not in _EMPTY}
        return {"version": self.version, **kept}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the record that was written; ValueError where it is of a later version or cut."""
        if (found := values.get("version", 1)) > cls.version:
            raise ValueError(f"version {found}; this program reads up to version {cls.version}")
        known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
        if missing := [
            name for name, one in known.items() if name not in values and _is_needed(one)
        ]:
            raise ValueError(f"no {', '.join(missing)}")
        return cls(**{name: values[name] for name in known if name in values})


def _is_needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
