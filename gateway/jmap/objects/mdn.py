"""The MDN data type (RFC 9007 section 2): it is sent and parsed, and kept nowhere."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.jmap.capability import MDN as MDN_CAPABILITY
from gateway.jmap.declare import REQUIRED, DataType, Property
from gateway.jmap.objects.identity import is_line
from gateway.jmap.types import (
    is_boolean,
    is_id_or_reference,
    is_string,
    is_strings,
    nullable,
    object_of,
    one_of,
)

ACTION_MODES: Final = ("manual-action", "automatic-action")
SENDING_MODES: Final = ("mdn-sent-manually", "mdn-sent-automatically")
DISPOSITION_TYPES: Final = ("deleted", "dispatched", "displayed", "processed")

MAX_EXTENSION_FIELDS: Final = 50
MAX_EXTENSION_NAME: Final = 70  # characters: the first line of a field has to hold a word as well
MAX_TEXT_CHARACTERS: Final = 100_000  # a receipt is a sentence or two

_NAME = re.compile(rf"[!-9;-~]{{1,{MAX_EXTENSION_NAME}}}")
_IS_DISPOSITION = object_of(
    {
        "actionMode": one_of(ACTION_MODES),
        "sendingMode": one_of(SENDING_MODES),
        "type": one_of(DISPOSITION_TYPES),
    },
    required=("actionMode", "sendingMode", "type"),
)


def _is_text(value: Any) -> str | None:
    if fault := is_string(value):
        return fault
    return f"has more than {MAX_TEXT_CHARACTERS} characters" if len(value) > MAX_TEXT_CHARACTERS else None


def _is_extension_fields(value: Any) -> str | None:
    if type(value) is not dict:
        return "is not an object"
    if len(value) > MAX_EXTENSION_FIELDS:
        return f"has more than {MAX_EXTENSION_FIELDS} fields"
    for name, text in value.items():
        if _NAME.fullmatch(name) is None:
            return "has a key that is not the name of a header field"
        if fault := is_line(text):
            return f"has a value that {fault}"
    return None


MDN: Final = DataType(
    name="MDN",
    capability=MDN_CAPABILITY,
    properties={
        "forEmailId": Property(is_id_or_reference, default=REQUIRED, is_reference=True),
        "subject": Property(nullable(is_line), is_nullable=True),
        "textBody": Property(nullable(_is_text), is_nullable=True),
        "includeOriginalMessage": Property(is_boolean, default=False),
        "reportingUA": Property(nullable(is_line), is_nullable=True),
        "disposition": Property(_IS_DISPOSITION, default=REQUIRED),
        "mdnGateway": Property(nullable(is_string), is_nullable=True, is_server_set=True),
        "originalRecipient": Property(nullable(is_string), is_nullable=True, is_server_set=True),
        "finalRecipient": Property(nullable(is_line), is_nullable=True),
        "originalMessageId": Property(nullable(is_string), is_nullable=True, is_server_set=True),
        "error": Property(nullable(is_strings), is_nullable=True, is_server_set=True),
        "extensionFields": Property(nullable(_is_extension_fields), is_nullable=True),
    },
    methods=frozenset({"send", "parse"}),
)
