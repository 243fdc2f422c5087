"""What Airflow reads about this package. Must import nothing of Airflow."""

from __future__ import annotations

from typing import Any

from airflow_provider_mirakl.connection_types import CONNECTION_TYPES

_INTEGRATION = "Mirakl"
_PACKAGE = "airflow_provider_mirakl"
_ASSET_URIS = [
    {
        "schemes": [scheme],
        "handler": f"{_PACKAGE}.assets.sanitize_uri",
        "factory": f"{_PACKAGE}.assets.{factory}",
        "to_openlineage_converter": f"{_PACKAGE}.assets.convert_asset_to_openlineage",
    }
    for scheme, factory in (("mirakl", "create_instance_asset"), ("mirakl-connect", "create_connect_asset"))
]


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-mirakl",
        "name": _INTEGRATION,
        "description": "Run a Mirakl catalog from Airflow: paced, resumable, verifiable, testable offline.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://developer.mirakl.com",
                "logo": "/docs/integration-logos/mirakl.svg",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    f"{_PACKAGE}.hooks.djust",
                    f"{_PACKAGE}.hooks.mirakl",
                    f"{_PACKAGE}.hooks.mirakl_connect",
                ],
            }
        ],
        "operators": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    f"{_PACKAGE}.operators.accounting",
                    f"{_PACKAGE}.operators.catalog_manager",
                    f"{_PACKAGE}.operators.connect",
                    f"{_PACKAGE}.operators.connect_conversations",
                    f"{_PACKAGE}.operators.connect_order_documents",
                    f"{_PACKAGE}.operators.connect_orders",
                    f"{_PACKAGE}.operators.connect_returns",
                    f"{_PACKAGE}.operators.djust",
                    f"{_PACKAGE}.operators.extract",
                    f"{_PACKAGE}.operators.offers",
                    f"{_PACKAGE}.operators.orders",
                    f"{_PACKAGE}.operators.preflight",
                    f"{_PACKAGE}.operators.products",
                    f"{_PACKAGE}.operators.reconcile",
                    f"{_PACKAGE}.operators.request",
                    f"{_PACKAGE}.operators.resync",
                    f"{_PACKAGE}.operators.settings",
                    f"{_PACKAGE}.operators.shop_documents",
                    f"{_PACKAGE}.operators.shops",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    f"{_PACKAGE}.sensors.connect",
                    f"{_PACKAGE}.sensors.connect_orders",
                    f"{_PACKAGE}.sensors.jobs",
                    f"{_PACKAGE}.sensors.shop_documents",
                ],
            }
        ],
        "triggers": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    f"{_PACKAGE}.triggers.events",
                    f"{_PACKAGE}.triggers.moment",
                    f"{_PACKAGE}.triggers.poll",
                ],
            }
        ],
        "extra-links": [
            f"{_PACKAGE}.links.{name}"
            for name in ("MiraklBackOfficeLink", "MiraklGuideLink", "MiraklRejectsLink", "MiraklReportLink")
        ],
        "notifications": [f"{_PACKAGE}.notifications.MiraklOutcomeNotifier"],
        # Airflow 2.11 reads the older key.
        "asset-uris": _ASSET_URIS,
        "dataset-uris": _ASSET_URIS,
        # From Airflow 3.2 on; the console script mirakl-provider works everywhere.
        "cli": [f"{_PACKAGE}.airflow_cli.commands"],
        "connection-types": list(CONNECTION_TYPES.values()),
        "config": {
            "mirakl": {
                "description": "Options of the Mirakl provider.",
                "options": {
                    "work_folder": {
                        "description": (
                            "Folder, as an object storage path, where operators keep plans, progress, rejects and "
                            "outcomes. Every worker must be able to access it: use object storage if workers do not "
                            "share a file system. If empty, operators use the folder mirakl in AIRFLOW_HOME."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@my-bucket/mirakl",
                        "default": "",
                    },
                    "keep_days": {
                        "description": (
                            "Days after which a task that succeeded removes the folders of its own old runs from the "
                            "work folder. States, watermarks and folders of unfinished tasks are never removed. 0 "
                            "keeps everything."
                        ),
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": "90",
                        "default": "30",
                    },
                },
            }
        },
    }
