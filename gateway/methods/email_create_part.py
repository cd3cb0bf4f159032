"""An EmailBodyPart as a client gives it -> what is to be built of it (RFC 8621 sections 4.1.4 and 4.6). Pure.

Rule 1: a fault inside a part is told of the Email's property that holds the part.
Rule 2: a part is text of bodyValues, or a blob, or a multipart; never two of them.
Rule 3: what the client gives as a whole header field is taken apart and written anew where we have to add to it:
Content-Type gets our charset or boundary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gateway.message.build_header import HeaderValueError, encode_field, fold
from gateway.message.build_words import parameter
from gateway.message.parameters import parse_content_type

# Deeper than people nest, as deep as readers follow.
MAX_DEPTH: Final = 20
MAX_PARTS: Final = 1000  # of one Email: each costs a look for its blob

_TOKEN = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_CID = re.compile(r"[^\x00-\x20<>\x7f-\U0010ffff]{1,900}")
_LANGUAGE = re.compile(r"[A-Za-z0-9-]{1,100}")
_LOCATION = re.compile(r"[!-~]{1,900}")
_OWN = {  # the fields that a part's own properties stand for
    "type": "content-type",
    "charset": "content-type",
    "disposition": "content-disposition",
    "name": "content-disposition",
    "cid": "content-id",
    "language": "content-language",
    "location": "content-location",
}


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One part to build. A leaf has `text` or `blob_id`; `type` None: that of the blob."""

    type: str | None
    parameters: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[bytes, ...] = ()
    names: frozenset[str] = frozenset()  # of its header fields, in lower case
    text: str | None = None
    blob_id: str | None = None
    subparts: tuple[PartPlan, ...] = ()
    is_embedded: bool = False  # something that the HTML shows

    def walk(self) -> Iterator[PartPlan]:
        """Yield this part and all below it."""
        yield self
        for part in self.subparts:
            yield from part.walk()


class EncodedFields(Protocol):
    @property
    def names(self) -> Mapping[str, list[str]]: ...
    @property
    def octets(self) -> tuple[tuple[str, bytes], ...]: ...


class PartReader:
    """Reads the parts of one property of an Email."""

    def __init__(
        self,
        property: str,
        values: Mapping[str, Any],
        faults: dict[str, str],
        header_fields: Callable[..., EncodedFields],
        default_type: str | None = None,
        default_disposition: str | None = None,
        *,
        embeds: bool = False,
    ) -> None:
        self._property, self._values, self._faults = property, values, faults
        self._header_fields = header_fields
        self._default_type, self._default_disposition = default_type, default_disposition
        self._embeds = embeds  # there is HTML that may show a part by its cid
        self._parts = 0

    def read(self, given: Mapping[str, Any], *, is_root: bool = False, depth: int = 0) -> PartPlan | None:
        """Return a part and those below it; None, and a fault noted, where something is wrong."""
        try:
            return self._read(given, is_root, depth)
        except HeaderValueError as error:
            self._faults[self._property] = f"has a part that {error}"
            return None

    def _read(self, given: Mapping[str, Any], is_root: bool, depth: int) -> PartPlan:
        self._parts += 1
        if depth > MAX_DEPTH or self._parts > MAX_PARTS:
            raise HeaderValueError("is nested too deeply, or one of too many")
        self._check(given)
        fields = self._own_header(given, is_root)
        type, parameters = self._type(given)
        if type is not None and type.startswith("multipart/"):
            return self._multipart(given, type, parameters, fields, depth)
        if given.get("subParts"):
            raise HeaderValueError("has subParts and is no multipart")
        text, blob_id = self._content(given)
        if text is not None:
            type = type or "text/plain"
            if type.startswith("message/"):
                raise HeaderValueError(f"is of type {type}, which takes a blobId")
            if type.startswith("text/"):
                parameters["charset"] = "utf-8"
        return self._plan(given, type, parameters, fields, text=text, blob_id=blob_id)

    def _check(self, given: Mapping[str, Any]) -> None:
        if "headers" in given:
            raise HeaderValueError("has headers: each header field is a property of its own")
        if given.get("partId") is not None:
            if given.get("blobId") is not None:
                raise HeaderValueError("has both a partId and a blobId")
            for name in ("charset", "size"):
                if given.get(name) is not None:
                    raise HeaderValueError(f"has a partId and a {name}")

    def _own_header(self, given: Mapping[str, Any], is_root: bool) -> EncodedFields:
        """Encode the part's `header:…` properties; what the part's own properties stand for must not be among them."""
        faults: dict[str, str] = {}
        fields = self._header_fields(given, faults, known={})
        for name in fields.names:
            if name == "content-transfer-encoding":
                raise HeaderValueError("has a Content-Transfer-Encoding header field")
            if not (is_root or name.startswith("content-")) and name == "mime-version":
                raise HeaderValueError("has a MIME-Version header field and is not the root")
            if any(given.get(own) is not None and _OWN[own] == name for own in _OWN):
                raise HeaderValueError(f"has two properties for the header field {name}")
        for property, fault in faults.items():
            raise HeaderValueError(f"has a property {property[:100]} that {fault}")
        return fields

    def _type(self, given: Mapping[str, Any]) -> tuple[str | None, dict[str, str]]:
        for property, value in given.items():
            if property.lower().startswith("header:content-type") and value is not None:
                whole = parse_content_type(value[-1] if type(value) is list else value)
                known = {name: text for name, text in whole.parameters.items() if name != "boundary"}
                charset = known.get("charset", "utf-8").lower()
                if given.get("partId") is not None and charset not in ("utf-8", "us-ascii"):
                    raise HeaderValueError("has a partId and a charset that is not utf-8")
                return whole.value, {name: text for name, text in known.items() if _TOKEN.fullmatch(name)}
        parameters = {}
        if given.get("charset") is not None:
            if not _TOKEN.fullmatch(given["charset"]):
                raise HeaderValueError("has a charset that is no token")
            parameters["charset"] = given["charset"]
        if given.get("type") is not None:
            if not _TYPE.fullmatch(given["type"]):
                raise HeaderValueError("has a type that is no media type")
            return given["type"].lower(), parameters
        return ("multipart/mixed" if given.get("subParts") else self._default_type), parameters

    def _content(self, given: Mapping[str, Any]) -> tuple[str | None, str | None]:
        part_id, blob_id = given.get("partId"), given.get("blobId")
        if part_id is not None:
            if part_id not in self._values:
                raise HeaderValueError("has a partId that is not in bodyValues")
            return self._values[part_id]["value"], None
        if blob_id is None:
            raise HeaderValueError("has neither a partId nor a blobId")
        return None, blob_id

    def _multipart(
        self, given: Mapping[str, Any], type: str, parameters: dict[str, str], fields: EncodedFields, depth: int
    ) -> PartPlan:
        if given.get("partId") is not None or given.get("blobId") is not None:
            raise HeaderValueError("is a multipart and has a partId or a blobId")
        if not given.get("subParts"):
            raise HeaderValueError("is a multipart without subParts")
        subparts = [self._read(part, False, depth + 1) for part in given["subParts"]]
        return self._plan(given, type, parameters, fields, subparts=tuple(subparts))

    def _plan(
        self,
        given: Mapping[str, Any],
        type: str | None,
        parameters: dict[str, str],
        fields: EncodedFields,
        **content: Any,
    ) -> PartPlan:
        disposition, cid, name = given.get("disposition"), given.get("cid"), given.get("name")
        has_own_disposition = "content-disposition" in fields.names
        if disposition is None and self._default_disposition is not None and not has_own_disposition:
            disposition = "inline" if self._embeds and cid is not None else self._default_disposition
        octets = [one for lower, one in fields.octets if lower != "content-type"]
        if disposition is not None:
            octets.append(_disposition(disposition, name))
        elif name is not None:
            parameters.setdefault("name", name)
        if cid is not None:
            octets.append(_token("Content-ID", "cid", _CID, cid, f"<{cid}>"))
        if given.get("language"):
            for tag in given["language"]:
                _token("Content-Language", "language", _LANGUAGE, tag, tag)
            octets.append(encode_field("Content-Language", "Text", ", ".join(given["language"])))
        if given.get("location") is not None:
            octets.append(_token("Content-Location", "location", _LOCATION, given["location"], given["location"]))
        return PartPlan(
            type,
            parameters,
            tuple(octets),
            frozenset(fields.names),
            is_embedded=self._embeds and cid is not None and disposition != "attachment",
            **content,
        )


def _disposition(value: str, name: str | None) -> bytes:
    if not _TOKEN.fullmatch(value):
        raise HeaderValueError("has a disposition that is no token")
    words = [f" {value}"]
    for word in parameter("filename", name) if name is not None else ():
        words[-1] += ";"
        words.append(" " + word)
    return fold("Content-Disposition", words)


def _token(name: str, property: str, pattern: re.Pattern[str], value: str, written: str) -> bytes:
    if pattern.fullmatch(value) is None:
        raise HeaderValueError(f"has a {property} that cannot stand in a header field")
    return fold(name, [" " + written])
