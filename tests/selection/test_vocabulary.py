"""A vocabulary of one's own: what it may hold, and how a mistake is named."""

import json

import pytest

from pipeline.errors import TableError, UsageError
from pipeline.selection.vocabulary import Vocabulary, default_vocabulary, parse_vocabulary

ONTOLOGY = json.dumps(
    [
        {"id": "/m/02sgy", "child_ids": ["/m/018vs", "/m/0x"]},
        {"id": "/m/018vs", "child_ids": []},
        {"id": "/m/0x", "child_ids": ["/m/0y"]},
        {"id": "/m/0y", "child_ids": []},
    ]
)


def parse(text, **options):
    return parse_vocabulary(text, name="my.toml", **options)


def test_the_default_is_the_eleven_in_order():
    codes = ["cel", "cla", "flu", "gac", "gel", "org", "pia", "sax", "tru", "vio", "voi"]
    assert default_vocabulary().codes == codes
    assert default_vocabulary().names["voi"] == "human voice"


def test_survives_json():
    vocabulary = default_vocabulary()
    assert Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict()))) == vocabulary


def test_expand_takes_all_descendants():
    text = '[[instrument]]\ncode = "g"\nany_of = [{mid = "/m/02sgy", expand = true}, "/m/018vs"]\n'
    (instrument,) = parse(text, ontology=ONTOLOGY).instruments
    assert instrument.any_of == ("/m/02sgy", "/m/018vs", "/m/0x", "/m/0y")
    with pytest.raises(UsageError, match="--ontology"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"my\.toml: found no \[\[instrument\]\]"),
        ("[[instrument", r"my\.toml: not TOML"),
        ('instrument = ["x"]', r"my\.toml: found no \[\[instrument\]\]"),
        ('[[instrument]]\ncode = "a"\nany_of = 5', r"my\.toml:3: found any_of 5.*a list of ids"),
        ('[[instrument]]\ncode = "a"\nany_of = "/m/05r5c"', r"expected a list of ids"),
        ('[[instrument]]\ncode = "Cel!"\nany_of = []', r"my\.toml:2: found code 'Cel!'"),
        ('[[instrument]]\ncode = "a"\nany_off = []', r"my\.toml:3: found key 'any_off'"),
        (
            '[[instrument]]\ncode = "a"\nany_of = [{mid = "/m/05r5c", expanded = true}]',
            r"my\.toml:3: found key 'expanded' of /m/05r5c; expected mid and expand",
        ),
        (
            '[[instrument]]\ncode = "a"\nany_of = [{mid = "/m/05r5c", expand = "false"}]',
            r"my\.toml:3: found expand 'false'; expected true or false",
        ),
        ('[[instrument]]\ncode = "a"\n', r"my\.toml:2: found no any_of for 'a'"),
        (
            '[[instrument]]\ncode = "a"\nany_of = [\n"/m/01xqw",\n"/m/02qlsy"]',
            r"my\.toml:5: found unknown id '/m/02qlsy'",
        ),
        (
            '[[instrument]]\ncode = "a"\nany_of = ["/m/01xqw"]\n' * 2,
            r"my\.toml:5: found code 'a' twice",
        ),
    ],
)
def test_a_mistake_is_named_by_file_and_line(text, message):
    with pytest.raises((TableError, UsageError), match=message):
        parse(text)


def test_an_ontology_of_another_form_is_refused():
    with pytest.raises(UsageError, match=r"ontology\.json"):
        parse('[[instrument]]\ncode = "a"\nany_of = ["/m/01xqw"]', ontology='{"a": 1}')


def test_unknown_if_is_a_list_of_ids_like_the_others():
    text = (
        '[[instrument]]\ncode = "g"\nany_of = ["/m/042v_gx"]\n'
        'unknown_if = [{mid = "/m/02sgy", expand = true}]\n'
    )
    (instrument,) = parse(text, ontology=ONTOLOGY).instruments
    assert instrument.unknown_if == ("/m/02sgy", "/m/018vs", "/m/0x", "/m/0y")
    wrong = text.replace('[{mid = "/m/02sgy", expand = true}]', '"/m/02sgy"')
    with pytest.raises(TableError, match=r"unknown_if '/m/02sgy'.*a list of ids"):
        parse(wrong)


def test_a_vocabulary_without_unknown_if_is_written_as_before():
    text = '[[instrument]]\ncode = "g"\nname = "guitar"\nany_of = ["/m/02sgy"]\n'
    assert parse(text).to_dict() == [
        {"code": "g", "name": "guitar", "any_of": ("/m/02sgy",), "none_of": ()}
    ]
    older = [{"code": "g", "name": "guitar", "any_of": ["/m/02sgy"], "none_of": []}]
    assert Vocabulary.from_dict(older) == parse(text)


def test_no_class_is_open_because_of_music_or_a_musical_instrument():
    found = {mid for one in default_vocabulary().instruments for mid in one.unknown_if}
    assert found and not found & {"/m/04rlf", "/m/04szw"}
