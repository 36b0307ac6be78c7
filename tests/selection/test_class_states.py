"""What labels of one set say of the classes of another: known cases, then what always holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.selection.class_states import class_states
from pipeline.selection.instrument_names import mids_of_name
from pipeline.selection.vocabulary import SHIPPED, Vocabulary, shipped_vocabulary

OPENMIC, ELEVEN = shipped_vocabulary("openmic"), shipped_vocabulary("instruments")
MIDS = {one.code: frozenset(one.any_of) for one in OPENMIC.instruments}


def states(there: list[str], absent: list[str], is_complete: bool, classes: Vocabulary = ELEVEN):
    found = [[MIDS[code] for code in codes] for codes in (there, absent)]
    present, unknown = class_states(*found, classes, is_complete=is_complete)
    return present, set(classes.codes) - {*present, *unknown}


def test_a_family_that_is_not_there_has_no_members():
    assert states([], ["guitar"], is_complete=False) == ([], {"gac", "gel"})
    assert states(["guitar"], [], is_complete=False) == ([], set())


def test_complete_labels_leave_open_what_a_family_covers():
    assert states(["guitar"], [], is_complete=True) == ([], {*ELEVEN.codes} - {"gac", "gel"})
    assert states(["cello"], [], is_complete=True) == (["cel"], {*ELEVEN.codes} - {"cel"})
    assert states([], [], is_complete=True) == ([], {*ELEVEN.codes})


def test_several_labels_may_cover_a_class_together():
    one = frozenset({"/m/042v_gx"})
    found = class_states([], [one, MIDS["guitar"] - one], OPENMIC, is_complete=False)
    assert "guitar" not in found[1]
    assert "guitar" in class_states([], [one], OPENMIC, is_complete=False)[1]


def test_a_label_without_an_id_says_nothing_of_what_is_there():
    found = class_states([frozenset()], [], ELEVEN, is_complete=True)
    assert found == ([], [])
    assert class_states([frozenset()], [], ELEVEN, is_complete=False) == ([], ELEVEN.codes)


@given(st.dictionaries(st.sampled_from(OPENMIC.codes), st.booleans()))
def test_a_sets_own_classes_are_what_its_labels_say(labels):
    there = [code for code in OPENMIC.codes if labels.get(code) is True]
    absent = [code for code in OPENMIC.codes if labels.get(code) is False]
    assert states(there, absent, is_complete=False, classes=OPENMIC) == (there, {*absent})


def test_in_a_shipped_vocabulary_no_two_classes_share_an_id():
    for name in SHIPPED:
        mids = [mid for one in shipped_vocabulary(name).instruments for mid in one.any_of]
        assert len(mids) == len({*mids}), name


@pytest.mark.parametrize(
    ("name", "family"), [("Viola", "string"), ("Bass Tuba", "brass"), ("Cornet", "brass")]
)
def test_what_audioset_has_no_id_for_is_of_its_family(name, family):
    mids = mids_of_name(name)
    assert mids is not None
    codes, unknown = class_states([mids], [], shipped_vocabulary("nsynth"), is_complete=True)
    assert (codes, unknown) == ([family], [])
    assert class_states([mids], [], shipped_vocabulary("instruments"), is_complete=True) == ([], [])
