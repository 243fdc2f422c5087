"""What to change in a connection, for each way its test can fail. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_mirakl.exceptions import (
    TOKEN,
    MiraklApiError,
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklError,
    MiraklNotFoundError,
    MiraklNotYetError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
    NoReply,
)

_REFUSED = {
    "mirakl": "The key was rejected: it is wrong, expired or revoked, "
    "or the wrong authentication method is selected in auth. "
    "Enter a valid key in {key}.",
    "mirakl_connect": "The token was rejected at this address: check that host and environment belong together.",
    "djust": "The key was rejected: it is wrong or belongs to another environment. Enter a valid key in {key}.",
}
_NOT_ALLOWED = {
    "mirakl": "The key is valid, but may not do this: check role, and the rights of the key's user in Mirakl.",
    "mirakl_connect": "The client is valid, but may not do this: check its rights in Mirakl Connect.",
    "djust": "The key is valid, but may not do this: DJUST requires an operator's key.",
}
_WRONG_ADDRESS = (
    "A server answers, but not the API: check host. It should end with the host name or with /api."
)
_WRONG_TOKEN_URL = "A server answers, but it issues no tokens: check token_url, or leave it empty."  # noqa: S105
_WRONG_CLIENT = (
    "The client id (login) or client secret (password) was rejected: wrong, expired, revoked, or for another "
    "environment. Some accounts need the company id in audience."
)
_CALL: tuple[tuple[type[MiraklError], str], ...] = (
    (MiraklRateLimitError, "Too many calls. Test again later."),
    (MiraklNotYetError, "The previous call was too recent. Test again later."),
    (
        MiraklServerError,
        "The server failed. The connection may be fine; test again later.",
    ),
    (MiraklNotFoundError, _WRONG_ADDRESS),
    (MiraklBadRequestError, _WRONG_ADDRESS),
    (MiraklReplyError, _WRONG_ADDRESS),
)
_TOKEN: tuple[tuple[type[MiraklError], str], ...] = (
    (MiraklRateLimitError, "Too many token requests. Test again later."),
    (MiraklServerError, "The token server failed. Test again later."),
    (MiraklNotFoundError, _WRONG_TOKEN_URL),
    (MiraklReplyError, _WRONG_TOKEN_URL),
    (MiraklApiError, _WRONG_CLIENT),
)
_NO_REPLY: dict[NoReply | None, str] = {
    "certificate": "The certificate is not trusted: check {at}, or set ca_bundle to your own authority.",
    "no_https": "The server does not use HTTPS there: check {at} and the port.",
    "proxy": "The proxy refused: check proxy, and its user name and password.",
    "unknown_host": "The host name is unknown: check {at}, and proxy.",
    "refused": "Nothing listens there: check {at} and the port, and proxy.",
    "timeout": "No answer in time: check {at} and the port, the network, a firewall, and proxy.",
    None: "The server cannot be reached: check {at} and the port, the network, and proxy.",
}


def advice(error: MiraklError, conn_type: str, key_field: str) -> str:
    """What to change, and what happened.

    :param error: why the test failed.
    :param conn_type: type of the connection.
    :param key_field: the field whose key was sent.
    """
    said = word(error, conn_type, key_field)
    return f"{said} ({error})" if said else str(error)


def word(error: MiraklError, conn_type: str, key_field: str) -> str | None:
    """What to change; ``None`` if the error says it all. Parameters as for :func:`advice`."""
    of_token = getattr(error, "operation", None) == TOKEN
    if isinstance(error, MiraklTransportError):
        at = "token_url" if of_token else "host"
        return _NO_REPLY[error.reason].format(at=at)
    if not of_token and isinstance(error, MiraklAuthenticationError):
        return _REFUSED[conn_type].format(key=key_field)
    if not of_token and isinstance(error, MiraklPermissionError):
        of_test = (
            " The test calls PC01, which requires a shop administrator." if error.operation == "PC01" else ""
        )
        return _NOT_ALLOWED[conn_type] + of_test
    return next((word for kind, word in (_TOKEN if of_token else _CALL) if isinstance(error, kind)), None)


def hide(secrets: Iterable[str], text: str) -> str:
    """Mask secrets: a server may repeat them in its reply."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
