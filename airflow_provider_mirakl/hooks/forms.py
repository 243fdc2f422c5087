"""The connection form for Airflow before 3.2, which asks the hook for wtforms fields."""

from __future__ import annotations

from typing import Any

from airflow_provider_mirakl.connection_types import FormField


def widgets(fields: dict[str, FormField]) -> dict[str, Any]:
    """Turn the fields of a form, as the provider info has them, into wtforms fields.

    Airflow 2 has only text, password, integer and check box. Airflow 3.0 and 3.1 put classes of their own in the
    place of these and read a JSON schema off them.

    :param fields: name to label, description and JSON schema.
    """
    from airflow import __version__

    if __version__.startswith("2."):
        fields = {name: _in_words(field) for name, field in fields.items()}
    return {name: _widget(field) for name, field in fields.items()}


def _in_words(field: FormField) -> FormField:
    """A choice as text, its words in the description.

    A check box would not do for a boolean that is true by default: Airflow 2 shows a stored false as the default, and
    the next user to save the form would silently enable a disabled connection.
    """
    schema = field["schema"]
    if schema["type"][0] == "boolean":
        schema = {
            "type": ["string", "null"],
            "enum": ["true", "false"],
            "default": str(schema["default"]).lower(),
        }
    if "enum" not in schema:
        return field
    words = ", ".join(word for word in schema["enum"] if word)
    return {**field, "schema": schema, "description": f"{field['description']} One of: {words}."}


def _widget(field: FormField) -> Any:
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, IntegerField, PasswordField, StringField
    from wtforms.validators import Optional, any_of

    schema = field["schema"]
    common = {
        "label": lazy_gettext(field["label"]),
        "description": field["description"],
        "default": schema.get("default"),
    }
    kind = schema["type"][0]
    if kind == "boolean":
        return BooleanField(**common)
    if kind == "integer":
        return IntegerField(widget=BS3TextFieldWidget(), validators=[Optional()], **common)
    if schema.get("format") == "password":
        return PasswordField(widget=BS3PasswordFieldWidget(), **common)
    validators = [Optional(), any_of(schema["enum"])] if "enum" in schema else [Optional()]
    return StringField(widget=BS3TextFieldWidget(), validators=validators, **common)
