"""Charsets by the names mail gives them, each a codec for text: no stranger's word reaches Python's list of codecs."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gatepost.message.structure_defects import StructureDefect

LABEL_LIMIT_BYTES: Final = 60
FALLBACK: Final = "cp1252"
_BY_CODEC: Final = {
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 utf_8 unicode11utf8 unicode20utf8 x-unicode20utf8 utf-8-sig",
    "cp1252": "windows-1252 cp1252 x-cp1252 cp-1252 ansi"
    " iso-8859-1 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 iso-ir-100 l1 latin1 latin-1 cp819 ibm819 csisolatin1",
    "ascii": "us-ascii ascii us_ascii ansi_x3.4-1968 ansi_x3.4-1986 iso-ir-6 iso646-us 646 csascii cp367",
    "iso8859-2": "iso-8859-2 iso8859-2 iso_8859-2 iso_8859-2:1987 iso88592 iso-ir-101 l2 latin2 latin-2 csisolatin2",
    "iso8859-3": "iso-8859-3 iso8859-3 iso_8859-3 iso_8859-3:1988 iso88593 l3 latin3 csisolatin3",
    "iso8859-4": "iso-8859-4 iso8859-4 iso_8859-4 iso_8859-4:1988 iso88594 l4 latin4 csisolatin4",
    "iso8859-5": "iso-8859-5 iso8859-5 iso_8859-5 iso_8859-5:1988 iso88595 cyrillic csisolatincyrillic",
    "iso8859-6": "iso-8859-6 iso-8859-6-e iso-8859-6-i iso8859-6 iso_8859-6 iso_8859-6:1987 arabic ecma-114 asmo-708",
    "iso8859-7": "iso-8859-7 iso8859-7 iso_8859-7 iso_8859-7:1987 greek greek8 ecma-118 elot_928",
    "iso8859-8": "iso-8859-8 iso-8859-8-e iso-8859-8-i iso8859-8 iso_8859-8 iso_8859-8:1988 hebrew logical visual",
    "cp1254": "windows-1254 cp1254 x-cp1254 iso-8859-9 iso8859-9 iso_8859-9 iso_8859-9:1989 l5 latin5 latin-5",
    "iso8859-10": "iso-8859-10 iso8859-10 l6 latin6 csisolatin6",
    "iso8859-11": "iso-8859-11 iso8859-11",
    "cp874": "windows-874 cp874 dos-874 tis-620 tis620",
    "iso8859-13": "iso-8859-13 iso8859-13 latin7",
    "iso8859-14": "iso-8859-14 iso8859-14 latin8",
    "iso8859-15": "iso-8859-15 iso8859-15 iso_8859-15 l9 latin9 latin-9 csisolatin9",
    "iso8859-16": "iso-8859-16 iso8859-16 latin10",
    "koi8-r": "koi8-r koi koi8 koi8_r cskoi8r",
    "koi8-u": "koi8-u koi8-ru",
    "mac-roman": "macintosh x-mac-roman mac csmacintosh",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "cp866": "ibm866 866 cp866 csibm866",
    "cp437": "ibm437 cp437",
    "cp850": "ibm850 cp850",
    "cp852": "ibm852 cp852",
    "gbk": "gbk gb2312 gb_2312 gb_2312-80 chinese csgb2312 csiso58gb231280 iso-ir-58 x-gbk cp936 ms936 euc-cn x-euc-cn",
    "gb18030": "gb18030",
    "big5": "big5 big5-eten csbig5 cn-big5 x-x-big5",
    "big5hkscs": "big5-hkscs",
    "cp932": "shift_jis shift-jis sjis x-sjis ms_kanji csshiftjis windows-31j ms932 cp932",
    "euc_jp": "euc-jp eucjp x-euc-jp cseucpkdfmtjapanese",
    "iso2022_jp": "iso-2022-jp csiso2022jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-ms",
    "iso2022_kr": "iso-2022-kr csiso2022kr",
    "cp949": "euc-kr euckr cseuckr ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 korean windows-949 cp949 uhc",
    **{f"cp{n}": f"windows-{n} cp{n} x-cp{n}" for n in (1250, 1251, 1253, 1255, 1256, 1257, 1258)},
}
CODECS: Final[dict[str, str]] = {
    label: codec for codec, labels in _BY_CODEC.items() for label in labels.split()
}
"""Label -> codec: those whose ASCII is ASCII (the ISO 2022 ones outside their escapes)."""
WIDE: Final[dict[str, str]] = {
    "utf-16": "", "utf16": "", "unicode": "", "ucs-2": "", "iso-10646-ucs-2": "", "csunicode": "",
    "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
    "utf-32": "", "utf32": "", "ucs-4": "", "utf-32le": "utf-32-le", "utf-32be": "utf-32-be",
}  # fmt: skip
"""Several octets for every character; "" where the label leaves their order open."""
_HIDING: Final = (
    "utf-7 utf7 unicode-1-1-utf-7 x-unicode-2-0-utf-7 csunicode11utf7 utf-7-imap x-imap4-modified-utf7 hz-gb-2312 hz"
    " iso-2022-cn iso-2022-cn-ext cesu-8 scsu bocu-1 x-user-defined replacement"
    " hex rot13 rot-13 rot_13 zlib zip bz2 base64 quopri quoted-printable uu uuencode idna punycode unicode_escape"
    " unicode-escape raw_unicode_escape raw-unicode-escape undefined mbcs oem unicode_internal string_escape"
)
DANGEROUS: Final = frozenset(_HIDING.split())
"""Text that who does not decode it cannot see, and names of codecs of Python that are no charsets."""
_MARKS: Final = (
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_OVERLONG: Final = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]")


class Text(NamedTuple):
    """A text, decoded. codec: what it was read by."""

    text: str
    codec: str
    defects: frozenset[StructureDefect]


def defect_of_label(charset: str) -> StructureDefect | None:
    """What the name alone tells; charset: as parameters_of() gives it, "" when none is said."""
    label = _label(charset)
    if not label or label in CODECS or label in WIDE:
        return None
    return StructureDefect.DANGEROUS_CHARSET if label in DANGEROUS else StructureDefect.UNKNOWN_CHARSET


def decode_text(octets: bytes, charset: str) -> Text:
    """Any octets in any charset as text: what cannot be decoded becomes U+FFFD, an unknown charset is windows-1252.

    Without a charset it is UTF-8 where that fits, else windows-1252. Raises nothing.
    """
    label = _label(charset)
    if not label:
        return _unlabelled(octets)
    if label in WIDE:
        return _wide(octets, label)
    codec = CODECS.get(label)
    if codec is None:
        defect = defect_of_label(label)
        return Text(_windows(octets), FALLBACK, frozenset() if defect is None else frozenset({defect}))
    if codec == FALLBACK:
        return Text(_windows(octets), FALLBACK, _NONE)
    try:
        return Text(octets.decode(codec), codec, _NONE)
    except UnicodeDecodeError:
        if codec == "ascii":
            return _unlabelled(octets)._replace(defects=frozenset({StructureDefect.NOT_OF_CHARSET}))
        overlong = codec == "utf-8" and _OVERLONG.search(octets) is not None
        defect = StructureDefect.OVERLONG_UTF8 if overlong else StructureDefect.NOT_OF_CHARSET
        return Text(octets.decode(codec, "replace"), codec, frozenset({defect}))


_NONE: Final[frozenset[StructureDefect]] = frozenset()


def decoded_word(octets: bytes, charset: str) -> str:
    """Of an encoded word (RFC 2047): no charset of several octets a character, Latin-1 for what is unknown."""
    codec = CODECS.get(charset, "latin-1")
    return octets.decode("latin-1") if codec == "latin-1" else octets.decode(codec, "replace")


def _label(charset: str) -> str:
    return charset[:LABEL_LIMIT_BYTES].strip(" \t\"'").lower()


def _windows(octets: bytes) -> str:
    """As browsers read windows-1252: the five octets it does not have are control characters."""
    try:
        return octets.decode(FALLBACK)
    except UnicodeDecodeError:
        return octets.decode("latin-1").translate(_C1)


_C1: Final = {n: bytes((n,)).decode(FALLBACK, "ignore") or chr(n) for n in range(0x80, 0xA0)}


def _unlabelled(octets: bytes) -> Text:
    for mark, codec in _MARKS:
        if octets.startswith(mark):
            text = octets[len(mark) :].decode(codec, "replace")
            return Text(text, codec, frozenset({StructureDefect.UNMARKED_UTF16}))
    try:
        return Text(octets.decode("utf-8"), "utf-8", _NONE)
    except UnicodeDecodeError:
        return Text(_windows(octets), FALLBACK, _NONE)


def _wide(octets: bytes, label: str) -> Text:
    codec, defects = WIDE[label], _NONE
    if not codec:
        wide = "32" in label or "4" in label
        for mark, marked in _MARKS:
            if octets.startswith(mark) and ("32" in marked) == wide:
                codec, octets = marked, octets[len(mark) :]
                break
        else:
            codec, defects = "utf-32-le" if wide else "utf-16-le", frozenset({StructureDefect.UNMARKED_UTF16})
    try:
        return Text(octets.decode(codec), codec, defects)
    except UnicodeDecodeError:
        return Text(octets.decode(codec, "replace"), codec, defects | {StructureDefect.NOT_OF_CHARSET})
