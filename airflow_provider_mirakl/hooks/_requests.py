"""The auth class of :mod:`.requests_auth`, apart from it because it needs ``requests``."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from requests.auth import AuthBase
from requests.cookies import extract_cookies_to_jar

from airflow_provider_mirakl.client.settings import ClientCredentials, origin
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.hooks.base import MiraklBaseHook, hook_of

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from airflow_provider_mirakl.client.http import Client

_CREDENTIALS = ("Authorization", "dj-client", "dj-api-key")


class MiraklRequestsAuth(AuthBase):
    """The credentials of an Airflow connection, for ``requests``.

    The connection is read at the first request. Credentials are sent only to the connection's own URL: a request
    to another one is refused, and a redirect to another one is followed without them. An OAuth token is shared with
    every client of this process and renewed once when Mirakl refuses it. Mirakl's call frequencies are not kept:
    that is up to the caller.

    :param conn_id: connection of type ``mirakl``, ``mirakl_connect`` or ``djust``.
    :param role: for ``mirakl``: ``shop``, ``operator`` or ``front``; default the connection's own.
    """

    def __init__(self, conn_id: str, *, role: str | None = None) -> None:
        self.conn_id = conn_id
        self.role = role

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.conn_id!r}, role={self.role!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Without the values read, so that a copy in another process does not contain the key."""
        return {"conn_id": self.conn_id, "role": self.role}

    @cached_property
    def _hook(self) -> MiraklBaseHook:
        return hook_of(self.conn_id, role=self.role)

    @cached_property
    def _client(self) -> Client:
        """Fetches tokens; it lives as long as the credentials do."""
        return self._hook.get_conn()

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put the credentials on a request.

        :raises MiraklConfigurationError: the request goes to another address than the connection's.
        :raises MiraklConnectionDisabledError: the connection is disabled; skips the task.
        """
        base_url = self._hook.settings.base_url
        if not _same_origin(request.url or "", base_url):
            there, here = urlsplit(request.url or ""), urlsplit(base_url)
            raise MiraklConfigurationError(
                f"The credentials of connection {self.conn_id!r} are sent only to {here.scheme}://{here.netloc}, but "
                f"this request goes to {there.scheme}://{there.hostname}; use the URL of the connection",
                field="host",
            )
        request.headers.update(self._headers())
        request.register_hook("response", self._answered)  # type: ignore[no-untyped-call]
        return request

    def _headers(self, refused: str | None = None) -> dict[str, str]:
        auth = self._hook.settings.auth
        if not isinstance(auth, ClientCredentials):
            return dict(auth.headers)
        return {"Authorization": f"Bearer {self._client.token(refused)}"}

    def _answered(self, response: Response, **send: Any) -> Response:
        """Renew a rejected token once, and remove the credentials from a redirect to another host."""
        request, answer = response.request, response
        sent = request.headers.get("Authorization", "")
        if response.status_code == 401 and sent.startswith("Bearer ") and _can_be_sent_again(request):
            headers = self._headers(refused=sent.removeprefix("Bearer "))
            if headers["Authorization"] != sent:
                answer = _send_again(response, headers, **send)
        if answer.is_redirect:
            target = urljoin(answer.url, answer.headers["location"])
            if not _same_origin(target, self._hook.settings.base_url):
                for name in _CREDENTIALS:
                    request.headers.pop(name, None)
        return answer


def _send_again(response: Response, headers: dict[str, str], **send: Any) -> Response:
    request = response.request.copy()
    request.headers.update(headers)
    _ = response.content  # frees the connection
    response.close()
    jar: Any = request._cookies  # type: ignore[attr-defined]
    extract_cookies_to_jar(jar, response.request, response.raw)  # type: ignore[no-untyped-call]
    request.prepare_cookies(jar)
    answer: Response = response.connection.send(request, **send)
    answer.history.append(response)
    answer.request = request
    return answer


def _can_be_sent_again(request: PreparedRequest) -> bool:
    """Whether the body is a stream, which can be read only once."""
    return request.body is None or isinstance(request.body, str | bytes)


def _same_origin(url: str, base_url: str) -> bool:
    """Whether a URL surely leads to the connection's own server.

    A URL that two parsers could read differently counts as foreign.
    """
    if "\\" in url or "@" in urlsplit(url).netloc or any(letter.isspace() for letter in url):
        return False
    try:
        return origin(url) == origin(base_url)
    except ValueError:
        return False
