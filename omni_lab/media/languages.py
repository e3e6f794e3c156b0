"""Languages by their codes and names, as tracks and subtitle files give them."""

from __future__ import annotations

import unicodedata

# ISO 639-1 to ISO 639-2 (both forms), other codes and names in use, in lower case
NAMES = {
    "af": ("afr", "afrikaans"), "am": ("amh", "amharic"), "ar": ("ara", "arabic", "العربية"),
    "az": ("aze", "azerbaijani"), "be": ("bel", "belarusian"),
    "bg": ("bul", "bulgarian", "български"), "bn": ("ben", "bengali", "bangla"),
    "bs": ("bos", "bosnian"), "ca": ("cat", "catalan", "català"),
    "cs": ("ces", "cze", "cz", "czech", "čeština"), "cy": ("cym", "wel", "welsh"),
    "da": ("dan", "dk", "danish", "dansk"), "de": ("deu", "ger", "german", "deutsch"),
    "el": ("ell", "gre", "gr", "greek", "ελληνικά"), "en": ("eng", "english"),
    "eo": ("epo", "esperanto"),
    "es": ("spa", "spanish", "español", "espanol", "castilian", "castellano"),
    "et": ("est", "estonian", "eesti"), "eu": ("eus", "baq", "basque"),
    "fa": ("fas", "per", "persian", "farsi", "فارسی"), "fi": ("fin", "finnish", "suomi"),
    "fr": ("fra", "fre", "french", "français", "francais"), "ga": ("gle", "irish"),
    "gl": ("glg", "galician"), "gu": ("guj", "gujarati"), "ha": ("hau", "hausa"),
    "he": ("heb", "iw", "hebrew", "עברית"), "hi": ("hin", "hindi"),
    "hr": ("hrv", "croatian", "hrvatski"), "hu": ("hun", "hungarian", "magyar"),
    "hy": ("hye", "arm", "armenian"), "id": ("ind", "indonesian", "indonesia"),
    "is": ("isl", "ice", "icelandic"), "it": ("ita", "italian", "italiano"),
    "ja": ("jpn", "jp", "japanese", "日本語"), "ka": ("kat", "geo", "georgian"),
    "kk": ("kaz", "kazakh"), "km": ("khm", "khmer"), "kn": ("kan", "kannada"),
    "ko": ("kor", "kr", "korean", "한국어"), "ku": ("kur", "kurdish"), "ky": ("kir", "kyrgyz"),
    "la": ("lat",), "lo": ("lao",), "lt": ("lit", "lithuanian"), "lv": ("lav", "latvian"),
    "mk": ("mkd", "mac", "macedonian"), "ml": ("mal", "malayalam"), "mn": ("mon", "mongolian"),
    "mr": ("mar", "marathi"), "ms": ("msa", "may", "malay", "melayu"), "mt": ("mlt", "maltese"),
    "my": ("mya", "bur", "burmese"), "ne": ("nep", "nepali"),
    "nl": ("nld", "dut", "dutch", "nederlands", "flemish"),
    "no": ("nor", "nob", "nno", "nb", "nn", "norwegian", "norsk"),
    "pa": ("pan", "punjabi"), "pl": ("pol", "polish", "polski"), "ps": ("pus", "pashto"),
    "pt": ("por", "pob", "portuguese", "português", "portugues"),
    "ro": ("ron", "rum", "romanian", "română"), "ru": ("rus", "russian", "русский"),
    "si": ("sin", "sinhala"), "sk": ("slk", "slo", "slovak", "slovenčina"),
    "sl": ("slv", "slovenian", "slovene"), "so": ("som", "somali"), "sq": ("sqi", "alb", "albanian"),
    "sr": ("srp", "serbian", "srpski", "српски"), "sv": ("swe", "swedish", "svenska"),
    "sw": ("swa", "swahili"), "ta": ("tam", "tamil"), "te": ("tel", "telugu"),
    "th": ("tha", "thai", "ไทย"), "tl": ("tgl", "fil", "filipino", "tagalog"),
    "tr": ("tur", "turkish", "türkçe"), "uk": ("ukr", "ua", "ukrainian", "українська"),
    "ur": ("urd", "urdu"), "uz": ("uzb", "uzbek"), "vi": ("vie", "vietnamese"),
    "yi": ("yid", "yiddish"), "yo": ("yor", "yoruba"),
    "zh": ("zho", "chi", "cmn", "yue", "cn", "chs", "cht", "chinese", "mandarin", "cantonese",
           "中文", "简体", "繁體"),
    "zu": ("zul", "zulu"),
}  # fmt: skip
_TWO_LETTERS = {name: two for two, names in NAMES.items() for name in (two, *names)}


def two_letters(language: str) -> str:
    """ISO 639-1 code (two letters) of a language's tag or name; an unknown tag keeps its first part.

    >>> two_letters("ger"), two_letters("pt-BR"), two_letters("pt_BR"), two_letters("Arabic")
    ('de', 'pt', 'pt', 'ar')
    """
    first = _first(language)
    return _TWO_LETTERS.get(first, first)


def is_language(word: str) -> bool:
    """Whether a word is a language's tag or name.

    >>> is_language("zh-Hans-en"), is_language("Deutsch"), is_language("part2")
    (True, True, False)
    """
    return _first(word) in _TWO_LETTERS


def language_rank(found: str | None, wanted: str) -> int:
    """Language match: 0 for the wanted language, 1 where it is unknown, 2 for another one."""
    if not found or found in ("und", "unk"):
        return 1
    return 0 if two_letters(found) == two_letters(wanted) else 2


def _first(tag: str) -> str:
    """First part of a language tag, folded."""
    return unicodedata.normalize("NFC", tag).casefold().replace("_", "-").split("-")[0]
