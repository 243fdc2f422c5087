"""The connection form for Airflow before 3.2, which asks the hook for wtforms fields."""

from __future__ import annotations

from typing import Any

from airflow_provider_mirakl.connection_types import FormField


def widgets(fields: dict[str, FormField]) -> dict[str, Any]:
    """Turn the fields of a form, as the provider info has them, into wtforms fields.

    :param fields: name to label, description and JSON schema.
    """
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, IntegerField, PasswordField, StringField
    from wtforms.validators import Optional

    def widget(field: FormField) -> Any:
        schema = field["schema"]
        kind, default = schema["type"][0], schema.get("default")
        common = {"description": field["description"], "default": default}
        label = lazy_gettext(field["label"])
        if kind == "boolean":
            return BooleanField(label, **common)
        if kind == "integer":
            return IntegerField(label, widget=BS3TextFieldWidget(), validators=[Optional()], **common)
        if schema.get("format") == "password":
            return PasswordField(label, widget=BS3PasswordFieldWidget(), **common)
        return StringField(label, widget=BS3TextFieldWidget(), **common)

    return {name: widget(field) for name, field in fields.items()}
