"""A jmapc client (https://github.com/smkent/jmapc) that is signed in to the gateway."""

from __future__ import annotations

from typing import Any, TypeVar

from jmapc import Client, Email, MailboxQueryFilterCondition
from jmapc.methods import EmailGet, EmailGetResponse, MailboxQuery, MailboxQueryResponse, Method, Response

from tests.clients.gateway import Gateway

R = TypeVar("R", bound=Response)


def client_of(gateway: Gateway, login: str, password: str) -> Client:
    client = Client.create_with_password(gateway.host, login, password)
    client.requests_session.verify = str(gateway.ca)
    client.requests_session.trust_env = False  # REQUESTS_CA_BUNDLE would win
    return client


class Signed:
    """A jmapc client that is signed in."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway, self.login = gateway, gateway.upstream.fresh_login()
        self.client = client_of(gateway, self.login, gateway.upstream.password)

    def append(self, *messages: str, **options: Any) -> None:
        octets = [message.replace("\n", "\r\n").encode() for message in messages]
        self.gateway.upstream.append(self.login, *octets, **options)

    def request(self, method: Method, answered: type[R]) -> R:
        response = self.client.request(method, raise_errors=True, single_response=True)
        assert isinstance(response, answered)
        return response

    def mailbox(self, role: str) -> str:
        found = self.request(MailboxQuery(filter=MailboxQueryFilterCondition(role=role)), MailboxQueryResponse)
        assert isinstance(found.ids, list)
        (id,) = found.ids
        return str(id)

    def email(self, id: str) -> Email:
        asked = EmailGet(ids=[id], fetch_all_body_values=True)
        (email,) = self.request(asked, EmailGetResponse).data
        return email
