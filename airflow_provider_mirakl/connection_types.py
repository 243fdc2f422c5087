"""The three connection types and their forms, as data in the shape of Airflow's ``connection-types``.

The provider info hands it to Airflow 3.2 and later; the hooks build the same form from it for older ones. Imports
nothing, since Airflow reads it before its configuration is ready.
"""

from __future__ import annotations

from typing import Any, Final

PRODUCTION: Final = "production"
TEST: Final = "test"
ROLES: Final = ("shop", "operator", "front")
AUTHS: Final = ("api_key", "bearer", "client_credentials")

# What few connections need stands below, under a title of its own (Airflow 3.2 and later).
TOKENS: Final = "Other credentials"
PACE: Final = "Time limits and pace"
NETWORK: Final = "Network"

FormField = dict[str, Any]


def _field(label: str, kind: str, description: str, **schema: Any) -> FormField:
    # A type without "null" shows a field as required.
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


_ENABLED = _field(
    "Enabled",
    "boolean",
    "Switch off to disable the connection: its tasks are then skipped, and their logs say so.",
    default=True,
)
_LOCALES = _field(
    "Locales",
    "string",
    "Locales you use, separated by commas, such as en_US, fr_FR. Products with another locale are rejected before "
    "any call is made. Empty accepts any locale.",
)
_TOKEN_URL = _field(
    "Token URL",
    "string",
    "Token endpoint for client credentials. Leave empty for Mirakl's default.",
    section=TOKENS,
)
_AUDIENCE = _field(
    "Company id (audience)",
    "string",
    "Sent with the token request when set. Mirakl's public guide does not mention it, but some accounts need it.",
    section=TOKENS,
)
_BACK_OFFICE = _field(
    "Back office path",
    "string",
    "Path of the page that a task's link to the back office opens, such as /mmp/operator/dashboard. Empty opens the "
    "address of the instance.",
)
_COMMON: Final[dict[str, FormField]] = {
    "timeout": _field(
        "Timeout", "number", "Seconds to wait for the server to answer. Default 60.", section=PACE
    ),
    "max_wait": _field(
        "Longest wait",
        "number",
        "Seconds that one call may wait when Mirakl asks to come back later. Default 120.",
        section=PACE,
    ),
    "interval_factor": _field(
        "Interval factor",
        "number",
        "Multiplies Mirakl's published call intervals. Default 1; 2 calls half as often; "
        "use 0.016667 for a sandbox at speed 60.",
        section=PACE,
    ),
    "proxy": _field(
        "Proxy",
        "string",
        "Address of an HTTP proxy, such as http://proxy:3128.",
        format="password",
        section=NETWORK,
    ),
    "ca_bundle": _field(
        "CA bundle",
        "string",
        "Path of a file with the certificate authorities to trust, such as /etc/ssl/certs/company.pem.",
        section=NETWORK,
    ),
    "allow_http": _field(
        "Allow plain HTTP",
        "boolean",
        "Allow keys to be sent unencrypted to another machine. Only for your own test server.",
        default=False,
        section=NETWORK,
    ),
}

CONNECTION_TYPES: Final[dict[str, dict[str, Any]]] = {
    "mirakl": {
        "connection-type": "mirakl",
        "hook-name": "Mirakl",
        "hook-class-name": "airflow_provider_mirakl.hooks.mirakl.MiraklHook",
        "conn-fields": {
            "role": _field(
                "Role",
                "string",
                "Whose key it is: a shop (seller), the operator, or the front office.",
                default="shop",
                enum=list(ROLES),
            ),
            "shop_id": _field(
                "Shop id",
                "integer",
                "Number of the shop to act for, such as 2000, when the user has several. Empty means the user's "
                "default shop.",
            ),
            "auth": _field(
                "Authentication",
                "string",
                "How the key is sent. Empty chooses: client_credentials when a client id is set, bearer for a "
                "token (JWT), otherwise the plain API key.",
                enum=[*AUTHS, None],
                values_display={
                    "api_key": "API key",
                    "bearer": "bearer token",
                    "client_credentials": "client id and secret",
                    "null": "chosen by what is set",
                    "None": "chosen by what is set",
                },
            ),
            "locales": _LOCALES,
            "back_office_path": _BACK_OFFICE,
            "enabled": _ENABLED,
            "front_api_key": _field(
                "Front-office API key",
                "string",
                "A second key, used for front-office calls next to the operator's own.",
                format="password",
                section=TOKENS,
            ),
            "token_url": _TOKEN_URL,
            "audience": _AUDIENCE,
            **_COMMON,
        },
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {
                "host": "Instance URL",
                "login": "Client id",
                "password": "API key, token or client secret",
            },
            "placeholders": {
                "host": "https://your-instance.mirakl.net",
                "login": "only for client credentials",
                "password": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
                "port": "443",
            },
        },
    },
    "mirakl_connect": {
        "connection-type": "mirakl_connect",
        "hook-name": "Mirakl Connect",
        "hook-class-name": "airflow_provider_mirakl.hooks.mirakl_connect.MiraklConnectHook",
        "conn-fields": {
            "environment": _field(
                "Environment",
                "string",
                "Which Mirakl Connect to use. Sets the host and token URL when they are empty.",
                default=PRODUCTION,
                enum=[PRODUCTION, TEST],
            ),
            "locales": _LOCALES,
            "back_office_path": _BACK_OFFICE,
            "enabled": _ENABLED,
            "token_url": _TOKEN_URL,
            "audience": _AUDIENCE,
            **_COMMON,
        },
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {"host": "Connect URL", "login": "Client id", "password": "Client secret"},
            "placeholders": {
                "host": "https://miraklconnect.com",
                "login": "client id",
                "password": "client secret",
                "port": "443",
            },
        },
    },
    "djust": {
        "connection-type": "djust",
        "hook-name": "DJUST",
        "hook-class-name": "airflow_provider_mirakl.hooks.djust.DjustHook",
        "conn-fields": {
            "client_specification_id": _field(
                "Mirakl client configuration",
                "string",
                "Id of the Mirakl client configuration in DJUST, such as a1b2c3d4-e5f6-7890-abcd-ef1234567890. "
                "Empty lets DJUST resolve it.",
            ),
            "enabled": _ENABLED,
            **_COMMON,
        },
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "login"],
            "relabeling": {"host": "DJUST URL", "password": "API key (dj-api-key)"},
            "placeholders": {
                "host": "https://your-tenant.djust.example",
                "password": "dj-api-key",
                "port": "443",
            },
        },
    },
}
