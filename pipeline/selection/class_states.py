"""What a data set's labels say of the classes of a vocabulary: there, not there, or unknown. PURE.

Data sets name instruments each in their own way. What a label and a class have in common is said by
AudioSet's ids: "guitar" of OpenMIC-2018 stands for guitars of all kinds, so a clip without one has
no electric guitar, and one with a guitar may have an electric one or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.selection.vocabulary import Vocabulary

Mids = frozenset[str]
"""AudioSet ids that a label stands for; empty where AudioSet has none."""


def class_states(
    there: Iterable[Mids], absent: Iterable[Mids], vocabulary: Vocabulary, *, is_complete: bool
) -> tuple[list[str], list[str]]:
    """Return the codes of the classes that are there, and of those that are unknown.

    A class is there where a label that is there stands for nothing else. It is not there where all
    that it means is labelled as absent, or, of complete labels, where no label that is there has
    anything in common with it. Everything else is unknown.

    Parameters
    ----------
    there, absent
        The ids of the labels that a clip has, and of those that it is known not to have.
    vocabulary
        The classes that are asked for.
    is_complete
        Whether the labels name every instrument that sounds in the clip.

    >>> from pipeline.selection.vocabulary import default_vocabulary
    >>> cello, clarinet = frozenset({"/m/01xqw"}), frozenset({"/m/01wy6"})
    >>> codes, unknown = class_states([cello], [clarinet], default_vocabulary(), is_complete=False)
    >>> codes, "cla" in unknown, "flu" in unknown
    (['cel'], False, True)
    """
    labelled = [mids for mids in there if mids]
    excluded: Mids = frozenset().union(*absent)
    present, unknown = [], []
    for one in vocabulary.instruments:
        meant = frozenset(one.any_of)
        if any(mids <= meant for mids in labelled):
            present.append(one.code)
        elif not (meant <= excluded or (is_complete and _none_in_common(labelled, meant))):
            unknown.append(one.code)
    return present, unknown


def _none_in_common(labelled: Sequence[Mids], meant: Mids) -> bool:
    return all(mids.isdisjoint(meant) for mids in labelled)
