"""An instrument's name as data sets write it in, the AudioSet ids that it stands for out. PURE.

The names are those of MedleyDB's taxonomy, TinySOL, Good-sounds, Medley-solos-DB and Orchset.
"""

from __future__ import annotations

from pipeline.selection.class_states import Mids

_BOWED = "/m/0l14_3 /m/02qmj0d /m/07y_7 /m/01xqw /m/02fsn"
_BRASS = "/m/01kcd /m/0319l /m/07gql /m/07c6l"
_VOICE = "/m/02qldy /m/01h8n0 /m/02zsn /m/05zppz /t/dd00005 /t/dd00004 /t/dd00003 /m/0l14jd"
_WOODWIND = "/m/085jw /m/0l14j_ /m/01wy6 /m/06ncr"

_NAMES = (
    ("/m/07y_7", "violin"),
    ("/m/01xqw", "cello, violoncello"),
    ("/m/02fsn", "double bass, contrabass, bass"),
    (_BOWED, "strings, string section"),
    ("/m/0l14_3", "viola"),  # AudioSet's bowed strings, as it has no viola
    ("/m/042v_gx", "acoustic guitar"),
    ("/m/02sgy", "clean electric guitar, distorted electric guitar"),
    ("/m/06w87", "slide guitar, lap steel guitar"),
    ("/m/018vs", "electric bass"),
    ("/m/018j2", "banjo"),
    ("/m/04rzd", "mandolin"),
    ("/m/07xzm", "ukulele"),
    ("/m/0jtg0", "sitar"),
    ("/m/03m5k", "harp"),
    ("/m/03q5t", "harpsichord"),
    ("/m/05r5c", "piano, tack piano"),
    ("/m/01s0ps", "electric piano"),
    ("/m/013y1f", "pipe organ, electronic organ"),
    ("/m/0l14qv", "synthesizer"),
    ("/m/07kc_", "theremin"),
    ("/m/0l14j_", "flute, piccolo, bamboo flute, dizi"),
    ("/m/01wy6", "clarinet, clarinet in b-flat, bass clarinet"),
    ("/m/06ncr", "alto saxophone, baritone saxophone, soprano saxophone, tenor saxophone"),
    ("/m/06ncr", "sax_alto, sax_baritone, sax_soprano, sax_tenor"),
    (_WOODWIND, "winds, woodwinds"),
    ("/m/0192l", "bagpipe"),
    ("/m/03qjg", "harmonica"),
    ("/m/0mkg", "accordion"),
    ("/m/07gql", "trumpet, trumpet in c"),
    ("/m/07c6l", "trombone"),
    ("/m/0319l", "french horn, horn"),
    (_BRASS, "brass, brass section"),
    ("/m/01kcd", "cornet, euphonium, tuba, bass tuba"),  # AudioSet's brass: it has none of them
    ("/t/dd00003", "male singer"),
    ("/t/dd00004", "female singer"),
    ("/m/05zppz", "male speaker"),
    ("/m/02zsn", "female speaker"),
    (_VOICE, "vocalists, male rapper, female rapper"),
    ("/m/02hnl", "drum set"),
    ("/m/0cfdd", "drum machine"),
    ("/m/026t6", "toms, bongo, conga, darbuka, doumbek"),
    ("/m/011k_j", "timpani"),
    ("/m/01p970", "tabla"),
    ("/m/06rvn", "snare drum"),
    ("/m/0bm02", "bass drum, kick drum"),
    ("/m/07brj", "tambourine"),
    ("/m/0239kh", "cowbell"),
    ("/m/03qtq", "high hat"),
    ("/m/01qbl", "cymbal"),
    ("/m/0mbct", "gong"),
    ("/m/0xzly", "maracas"),
    ("/m/0l15bq", "claps"),
    ("/m/0dwsp", "marimba, xylophone"),
    ("/m/0dwt5", "vibraphone"),
    ("/m/0dwtp", "glockenspiel"),
    ("/m/01hgjl", "scratches"),
    # Those that no label of AudioSet stands for.
    ("", "erhu, guzheng, liuqin, oud, zhongruan, dulcimer, yangqin"),
    ("", "oboe, english horn, bassoon, panpipes, recorder"),
    ("", "concertina, bandoneon, harmonium, melodica, triangle, sleigh bells, cabasa, guiro, gu"),
    ("", "chimes, castanet, rattle, shaker, whistle, auxiliary percussion"),
    ("", "beatboxing, crowd, fx/processed sound, sampler"),
)
"""AudioSet ids, with spaces between, and the names that mean them, with commas between."""
_MIDS = {name: frozenset(ids.split()) for ids, names in _NAMES for name in names.split(", ")}


def mids_of_name(name: str) -> Mids | None:
    """Return the ids of a name, in any case, of one player or a section; None of unknown names.

    >>> mids_of_name("Viola Section"), mids_of_name("Cello"), mids_of_name("nose flute")
    (frozenset({'/m/0l14_3'}), frozenset({'/m/01xqw'}), None)
    """
    folded = name.strip().casefold()
    return _MIDS.get(folded, _MIDS.get(folded.removesuffix(" section")))
