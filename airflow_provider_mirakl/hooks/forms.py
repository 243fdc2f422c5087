"""The connection form for Airflow before 3.2, which asks the hook for wtforms fields."""

from __future__ import annotations

from typing import Any

from airflow_provider_mirakl.connection_types import FormField


def widgets(fields: dict[str, FormField]) -> dict[str, Any]:
    """Turn the fields of a form, as the provider info has them, into wtforms fields.

    :param fields: name to label, description and JSON schema.
    """
    from airflow import __version__

    make = _field_of_airflow_2 if __version__.startswith("2.") else _field
    return {name: make(field) for name, field in fields.items()}


def _field(field: FormField) -> Any:
    """Airflow 3.0 and 3.1 put classes of their own in the place of these and read the JSON schema off them."""
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


def _field_of_airflow_2(field: FormField) -> Any:
    """A drop-down for booleans and for a choice of words, the same as :func:`_field` for the rest.

    A check box that starts checked cannot be kept unchecked: Airflow 2 shows a stored false as the default, and the
    next person to save the form would enable a disabled connection without a word.
    """
    from flask_appbuilder.fieldwidgets import Select2Widget
    from flask_babel import lazy_gettext
    from wtforms import SelectField

    schema = field["schema"]
    words = ["true", "false"] if schema["type"][0] == "boolean" else schema.get("enum")
    if words is None:
        return _field(field)
    default = schema.get("default")
    return SelectField(
        label=lazy_gettext(field["label"]),
        description=field["description"],
        choices=[(word or "", word or "") for word in words],
        default=str(default).lower() if default is not None else "",
        widget=Select2Widget(),
        # The form of every connection type is posted, with the fields of the others left out.
        validate_choice=False,
    )
