"""Decode the names in a zip, whose character set few programs state.

Names without the flag for UTF-8 are in cp437, as the format says, or still in UTF-8 (macOS), or in the character set of
the system they were made on, such as cp932 (Windows in Japanese). All names of a zip are assumed to have one character
set. Info-ZIP's extra field with the name in UTF-8 has precedence.
"""

from __future__ import annotations

import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence

# What `zipfile` raises of a damaged file, at opening and at reading; a format version above 6.3 is not implemented.
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
              KeyError, IndexError, OverflowError)  # fmt: skip

_UTF8 = 0x800
_UNICODE_PATH = 0x7075
_LEVEL_1 = range(0x88, 0x98)  # lead bytes of the usual kanji in cp932; kana have 0x82 and 0x83


def zip_names(entries: Sequence[zipfile.ZipInfo]) -> tuple[list[str], bool]:
    """Return the entries' names, with "/" between their parts, and whether their character set is certain."""
    plain = [_raw(entry) for entry in entries if not entry.flag_bits & _UTF8 and not _unicode_path(entry)]
    special = [raw for raw in plain if not raw.isascii()]
    japanese = [_japanese(raw) for raw in special]
    charset = "cp437"
    if special and _all_in(special, "utf-8"):
        charset = "utf-8"
    elif special and _all_in(special, "cp932") and (max(japanese) == 2 or min(japanese) == 1):
        charset = "cp932"
    sure = charset != "cp437" or all(_is_western(raw) for raw in special)
    names = []
    for entry in entries:
        name = _unicode_path(entry)
        if not name:
            name = entry.filename if entry.flag_bits & _UTF8 else _raw(entry).decode(charset)
        names.append(unicodedata.normalize("NFC", name).replace("\\", "/"))  # some programs write Windows' separator
    return names, sure


def _raw(entry: zipfile.ZipInfo) -> bytes:
    """Return a name's bytes in the archive, which `zipfile` decodes as cp437."""
    return entry.filename.encode("utf-8" if entry.flag_bits & _UTF8 else "cp437", "replace")


def _unicode_path(entry: zipfile.ZipInfo) -> str:
    """Return the name in Info-ZIP's extra field; None if there is none, or its checksum is of another name."""
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        content, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(content) > 5 and content[0] == 1:
            if int.from_bytes(content[1:5], "little") != zlib.crc32(_raw(entry)):
                return ""
            return content[5:].decode("utf-8", "ignore").partition("\0")[0]
    return ""


def _all_in(names: Sequence[bytes], charset: str) -> bool:
    try:
        return all(name.decode(charset) is not None for name in names)
    except UnicodeDecodeError:
        return False


def _japanese(name: bytes) -> int:
    """Rate how likely a cp932 name is Japanese: 2 with two common letters in a row, 1 with one and no ASCII one."""
    surely = 0
    for part in name.rpartition(b".")[0].split(b"/"):
        longest = run = at = 0
        ascii_letters = False
        while at < len(part):
            lead, trail = part[at], part[at + 1] if at + 1 < len(part) else 0
            usual = lead == 0x83 or lead in _LEVEL_1 or (lead == 0x82 and trail >= 0x9F)
            run = run + 1 if usual else 0
            longest = max(longest, run)
            ascii_letters |= lead < 0x80 and chr(lead).isalpha()
            at += 2 if 0x81 <= lead <= 0x9F or lead >= 0xE0 else 1
        surely = max(surely, 2 if longest > 1 else int(longest == 1 and not ascii_letters))
    return surely


def _is_western(name: bytes) -> bool:
    """Return whether all characters beyond ASCII are cp437's letters of Western languages."""
    return all(letter.isascii() or unicodedata.name(letter, "").startswith("LATIN") for letter in name.decode("cp437"))
