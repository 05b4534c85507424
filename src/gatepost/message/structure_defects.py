"""What can be wrong with the structure of a mail: each lets two readers see other parts, types, names or contents."""

from __future__ import annotations

from enum import Enum
from typing import Self


class StructureDefect(Enum):
    """A word, and what it means: docs/structure.md has the same table."""

    means: str

    def __new__(cls, word: str, means: str) -> Self:
        """The word is the value."""
        member = object.__new__(cls)
        member._value_ = word
        member.means = means
        return member

    # Fields of a part
    TWO_CONTENT_TYPES = (
        "two-content-types",
        "two Content-Type fields; the first that is a container is read, else the first",
    )
    TWO_ENCODINGS = "two-encodings", "two Content-Transfer-Encoding fields; the first is read"
    TWO_DISPOSITIONS = (
        "two-dispositions",
        "two Content-Disposition fields; the first is read, the names of all",
    )
    HEADER_NOT_ENDED = (
        "header-not-ended",
        "no empty line ends the part's fields: all of it is fields, and it has no body",
    )
    HEADER_ODD = "header-odd", "a line among the part's fields that is no field, or whose name is odd"
    HEADER_BARE_CR = "header-bare-cr", "CR without LF among the part's fields"
    HEADER_BARE_LF = (
        "header-bare-lf",
        "LF without CR among the part's fields; it is read as a line end, as most readers do",
    )
    HEADER_NUL = "header-nul", "NUL among the part's fields"
    NO_MIME_VERSION = (
        "no-mime-version",
        "fields of MIME and no MIME-Version: some readers take the body for plain text",
    )

    # Types and parameters
    BAD_TYPE = (
        "bad-type",
        "a Content-Type that is no type/subtype; without both it is application/octet-stream",
    )
    BAD_PARAMETER = (
        "bad-parameter",
        "a parameter that does not keep to the grammar: blanks, a missing quote or semicolon, no name",
    )
    TWO_PARAMETERS = (
        "two-parameters",
        "a parameter twice; the first is read, of a boundary the first that stands in the body",
    )
    SECTION_MISSING = (
        "section-missing",
        "a parameter in sections (RFC 2231) of which one is missing; the others are joined",
    )
    SECTION_TWICE = "section-twice", "a section of a parameter (RFC 2231) twice; the first is read"
    FORMS_MIXED = (
        "forms-mixed",
        "the same parameter plainly and by RFC 2231; RFC 2231 is read, both names count",
    )
    WORD_IN_PARAMETER = (
        "word-in-parameter",
        "an encoded word (RFC 2047) in a parameter, where there is none by the rule; it is decoded",
    )

    # Boundaries
    NO_BOUNDARY = "no-boundary", "a multipart without boundary, or with an empty one: it is not opened"
    LONG_BOUNDARY = "long-boundary", "a boundary of more than 70 octets; RFC 2046 allows no more"
    ODD_BOUNDARY = (
        "odd-boundary",
        "a boundary with a character that none may have, with a blank at its end, or encoded by RFC 2231",
    )
    NO_DELIMITER = (
        "no-delimiter",
        "the boundary never stands in the body: the multipart has no part, and is one",
    )
    NOT_CLOSED = "not-closed", "the boundary is never closed; the last part goes on to the end"
    EMPTY_MULTIPART = "empty-multipart", "a multipart that is closed before its first part; it is one itself"
    LIKE_DELIMITER = (
        "like-delimiter",
        "a line that begins like a delimiter and goes on; it is none to us, but to some readers",
    )
    BARE_DELIMITER = (
        "bare-delimiter",
        "a delimiter whose line begins or ends by LF alone; it counts, as for most readers",
    )
    SAME_BOUNDARY = (
        "same-boundary",
        "the boundary of a multipart around it: whose the delimiters are, readers differ on; they are the outer's",
    )
    BOUNDARY_PREFIX = (
        "boundary-prefix",
        "a boundary that begins with the one of a multipart around it, or the other way round",
    )
    PART_IN_PREAMBLE = "part-in-preamble", "text before the first delimiter that looks like a part"
    TEXT_AFTER_END = "text-after-end", "text after the last delimiter, where nobody shows it"
    PART_AFTER_END = "part-after-end", "text after the last delimiter that looks like a part"

    # Transfer encodings
    UNKNOWN_ENCODING = (
        "unknown-encoding",
        "a transfer encoding that RFC 2045 does not know; the body is taken as it stands",
    )
    ODD_ENCODING = (
        "odd-encoding",
        "a transfer encoding with a comment, quotes or other things beside the word",
    )
    ENCODED_CONTAINER = (
        "encoded-container",
        "base64 or quoted-printable of a multipart or a mail; some readers decode it first",
    )
    BASE64_RUBBISH = "base64-rubbish", "characters in base64 that do not belong there; they are skipped"
    BASE64_PADDING = (
        "base64-padding",
        "more base64 after its padding; it is decoded, too, where other readers stop",
    )
    BASE64_CUT = "base64-cut", "base64 whose last group is not whole"
    QP_BAD_ESCAPE = (
        "qp-bad-escape",
        "= in quoted-printable without two hexadecimal digits; it is kept as it stands",
    )
    QP_SOFT_END = "qp-soft-end", "quoted-printable that ends in a soft line break"
    QP_LONG_LINE = "qp-long-line", "a line of quoted-printable of more than 76 characters"
    QP_CONTROL = (
        "qp-control",
        "control characters in quoted-printable, or a CR alone: some readers drop them",
    )
    EIGHT_BIT = "eight-bit", "octets above 127 in a body of base64, of quoted-printable or said to be 7bit"

    NUL_IN_BODY = ("nul-in-body", "NUL in a body that is not binary: readers drop it, or stop there")

    # Names
    NAMES_DIFFER = (
        "names-differ",
        "file names that differ: of Content-Type and Content-Disposition, or of several forms; each counts",
    )
    NAME_PATH = "name-path", "a file name with a path; what stands behind the last separator is shown"
    NAME_CONTROL = "name-control", "control characters in a file name"
    NAME_TURNS = (
        "name-turns",
        "characters in a file name that turn the direction of writing, or cannot be seen",
    )
    NAME_TRAILS = "name-trails", "dots or blanks at the end of a file name; Windows drops them"
    NAME_LONG = "name-long", "a file name beyond the limit; its begin and its end are kept"

    # Contents
    UNKNOWN_CHARSET = "unknown-charset", "a charset nobody knows; the text is read as windows-1252"
    DANGEROUS_CHARSET = (
        "dangerous-charset",
        "a charset that hides text from who does not decode it (UTF-7), or no charset at all (hex, rot13)",
    )
    UNMARKED_UTF16 = "unmarked-utf16", "UTF-16 or UTF-32 that does not say its order of octets"
    OVERLONG_UTF8 = (
        "overlong-utf8",
        "UTF-8 in more octets than needed: a trick to write a character past a check",
    )
    NOT_OF_CHARSET = "not-of-charset", "octets that the charset does not have"
    UUENCODED = "uuencoded", "a file in the text, by uuencode; some readers show it as an attachment"
    YENC = "yenc", "a file in the text, by yEnc"

    # Kinds of messages
    UNKNOWN_MESSAGE = (
        "unknown-message",
        "a kind of message nobody knows; it is opened as a mail, as by some readers",
    )
    PARTIAL = "partial", "message/partial: a piece of a mail that is whole only with others (RFC 2046 §5.2.2)"
    EXTERNAL_BODY = "external-body", "message/external-body: contents that lie elsewhere; never fetched"
