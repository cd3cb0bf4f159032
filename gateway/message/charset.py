"""Octets of a text part or an encoded word -> Unicode (RFC 8621 section 4.1.4, `bodyValues`).

Rule 1: a charset name from the wire never reaches `codecs.lookup`: that would import modules by name, cache every
        name for good, and reach codecs that are no charsets. One closed table says what is known.
Rule 2: what comes out can stand in I-JSON (RFC 7493 section 2.1): no surrogates, no noncharacters.
Rule 3: a known charset is obeyed and malformed octets become U+FFFD. Only where the charset is unknown, or is
        us-ascii and the text is not, is it guessed: UTF-8 if it is valid UTF-8, else windows-1252.
"""

from __future__ import annotations

import codecs
import re
from encodings.aliases import aliases
from functools import lru_cache

# The longest registered charset name has 45 characters.
MAX_CHARSET_NAME = 64

_CODEC_NAMES = (
    "ascii big5 big5hkscs cp037 cp1006 cp1026 cp1125 cp1140 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257"
    " cp1258 cp273 cp424 cp437 cp500 cp720 cp737 cp775 cp850 cp852 cp855 cp856 cp857 cp858 cp860 cp861 cp862 cp863"
    " cp864 cp865 cp866 cp869 cp874 cp875 cp932 cp949 cp950 euc_jis_2004 euc_jisx0213 euc_jp euc_kr gb18030 gb2312"
    " gbk hp_roman8 hz iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext iso2022_kr"
    " iso8859_1 iso8859_10 iso8859_11 iso8859_13 iso8859_14 iso8859_15 iso8859_16 iso8859_2 iso8859_3 iso8859_4"
    " iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 johab koi8_r koi8_t koi8_u kz1048 latin_1 mac_cyrillic"
    " mac_greek mac_iceland mac_latin2 mac_roman mac_turkish ptcp154 shift_jis shift_jis_2004 shift_jisx0213 tis_620"
    " utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le utf_7 utf_8 utf_8_sig"
)
_TEXT_CODECS = frozenset(_CODEC_NAMES.split())

# What senders mean: each maps to a superset that holds everything seen under that name in the wild.
_SUPERSETS = {
    "iso8859_1": "cp1252",
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "big5": "cp950",
    "iso2022_jp": "iso2022_jp_ext",
    "utf_8_sig": "utf_8",
}

# Names in the wild that Python's own table lacks.
_WILD = {
    "xsjis": "cp932",
    "windows31j": "cp932",
    "ksc56011987": "cp949",
    "ksc5601": "cp949",
    "xwindows949": "cp949",
    "windows949": "cp949",
    "windows874": "cp874",
    "xgbk": "gb18030",
    "cngb": "gb18030",
    "gb18030": "gb18030",
    "cnbig5": "cp950",
    "xxbig5": "cp950",
    "xeucjp": "euc_jp",
    "iso88598i": "iso8859_8",
    "iso88598e": "iso8859_8",
    "unicode11utf7": "utf_7",
    "unicode11utf8": "utf_8",
    "utf8mb4": "utf_8",
    "xutf8": "utf_8",
    "xmacroman": "mac_roman",
    "macintosh": "mac_roman",
    "xmaccyrillic": "mac_cyrillic",
    "xmacce": "mac_latin2",
    "ansi": "cp1252",
    "xansi": "cp1252",
    "xcp1250": "cp1250",
    "xcp1251": "cp1251",
    "xcp1252": "cp1252",
    "koi8": "koi8_r",
    "ansix341968": "ascii",
    "ansix341986": "ascii",
    "usascii": "ascii",
}


def _bare(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


_KNOWN: dict[str, str] = {
    _bare(name): _SUPERSETS.get(codec, codec)
    for name, codec in [*aliases.items(), *((name, name) for name in sorted(_TEXT_CODECS))]
    if codec in _TEXT_CODECS
} | _WILD

_NOT_IN_JSON = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef" + "".join(f"{chr(n << 16 | 0xFFFE)}{chr(n << 16 | 0xFFFF)}" for n in range(17)) + "]"
)


@lru_cache(maxsize=256)
def codec_name(charset: str) -> str | None:
    """Return the name of the codec for a charset name from the wire, or None where it is unknown."""
    if len(charset) > MAX_CHARSET_NAME:
        return None
    return _KNOWN.get(_bare(charset))


def json_safe(text: str) -> str:
    """Put U+FFFD for what I-JSON forbids in a string."""
    return text if text.isascii() else _NOT_IN_JSON.sub("\ufffd", text)


def guess(data: bytes) -> str:
    """Decode octets of unknown charset: UTF-8 if valid, else windows-1252, the commonest of the rest."""
    try:
        return json_safe(data.decode("utf-8"))
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def guess_header(data: bytes) -> str:
    """Decode a raw 8-bit header value: as `guess`, but a value with some valid UTF-8 in it is broken UTF-8."""
    try:
        return json_safe(data.decode("utf-8"))
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        is_partly_utf8 = not text.replace("\ufffd", "").isascii()
        return json_safe(text) if is_partly_utf8 else data.decode("cp1252", "replace")


def decode_octets(data: bytes, codec: str) -> tuple[str, bool]:
    """Decode with a codec of `codec_name`: (text, whether malformed octets were replaced)."""
    if codec == "utf_16":
        # RFC 2781 section 4.3: without a byte order mark the text is big-endian.
        codec = "utf_16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf_16_be"
    elif codec == "utf_8" and data.startswith(codecs.BOM_UTF8):
        data = data[3:]
    try:
        text = data.decode(codec)
    except (UnicodeError, ValueError):
        if codec == "cp1252":
            # The five octets that windows-1252 leaves open are controls in iso-8859-1.
            return data.decode("latin-1"), False
        try:
            text = data.decode(codec, "replace")
        except (UnicodeError, ValueError):
            return data.decode("ascii", "replace"), True
        return json_safe(text), True
    safe = json_safe(text)
    return safe, safe != text


def decode_text(data: bytes, charset: str | None) -> tuple[str, bool]:
    """Decode the octets of a text part: (text with LF line ends, isEncodingProblem)."""
    codec = codec_name(charset if charset is not None else "us-ascii")
    if codec is None:
        text, problem = guess(data), True
    elif codec == "ascii":
        problem = not data.isascii()
        text = guess(data)
    else:
        text, problem = decode_octets(data, codec)
    return text.replace("\r\n", "\n"), problem


# A tag that is open at the end of the text has no "end". Quoted attribute values may hold ">".
_TAG = re.compile(
    r"""<(?:!--(?:.*?)(?P<comment>-->|\Z)|[A-Za-z/!?][^>"']*+(?:"[^"]*+"[^>"']*+|'[^']*+'[^>"']*+)*+(?P<end>>)?)""",
    re.DOTALL,
)
# The longest named character reference of HTML has 33 characters.
_OPEN_ENTITY = re.compile(r"&[#A-Za-z0-9]{0,33}\Z")


def truncate_utf8(text: str, max_octets: int, *, is_html: bool = False) -> tuple[str, bool]:
    """Cut a text to at most `max_octets` of UTF-8: (text, isTruncated); 0 means no limit.

    The cut is between code points; in HTML it is in no tag and no character reference (RFC 8621 section 4.2).
    """
    if max_octets <= 0 or len(text) * 4 <= max_octets:
        return text, False
    octets = text[: max_octets + 1].encode("utf-8", "replace")
    if len(octets) <= max_octets:
        return text, False
    cut = octets[:max_octets].decode("utf-8", "ignore")
    if is_html:
        for tag in _TAG.finditer(cut):
            if tag["comment"] is None and tag["end"] is None:
                cut = cut[: tag.start()]
                break
        if cut.endswith("<") and _TAG.match(text, len(cut) - 1):
            cut = cut[:-1]
        entity = _OPEN_ENTITY.search(cut, max(0, len(cut) - 40))
        if entity is not None:
            cut = cut[: entity.start()]
    return cut, True
