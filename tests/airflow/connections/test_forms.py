"""The connection form, as the web server of each Airflow serves it."""

from __future__ import annotations

import html
import json
import re

import pytest
from airflow import __version__

from airflow_provider_mirakl.connection_types import CONNECTION_TYPES, NETWORK, PACE, TOKENS

AIRFLOW = tuple(int(part) for part in __version__.split(".")[:2])
pytestmark = [pytest.mark.airflow, pytest.mark.matrix]
airflow_2 = pytest.mark.skipif(AIRFLOW >= (3, 0), reason="the form of Airflow 2: make matrix MATRIX=2.11.2")
airflow_3 = pytest.mark.skipif(AIRFLOW < (3, 0), reason="the form of Airflow 3: make matrix MATRIX=3.3.2")
PARTS = {"url_schema": "schema"}


def served(site, conn_type):
    if AIRFLOW == (3, 0):
        pytest.importorskip(
            "flask_appbuilder",
            reason="on Airflow 3.0 the form needs flask-appbuilder: make matrix MATRIX=3.1.8 shows it without",
        )
    reply = site.client.get("/ui/connections/hook_meta")
    assert reply.status_code == 200, reply.text
    return next(form for form in reply.json() if form["connection_type"] == conn_type)


@pytest.mark.parametrize("conn_type", CONNECTION_TYPES)
def test_what_few_connections_need_stands_below_under_its_own_title(conn_type):
    fields = CONNECTION_TYPES[conn_type]["conn-fields"]
    titles = [field["schema"].get("section", "") for field in fields.values()]
    assert list(dict.fromkeys(titles)) == [title for title in ("", TOKENS, PACE, NETWORK) if title in titles]
    assert titles == sorted(titles, key=["", TOKENS, PACE, NETWORK].index), "a title stands once"
    assert [name for name in fields if fields[name]["schema"].get("section") == NETWORK] == [
        "proxy", "ca_bundle", "allow_http",
    ]  # fmt: skip


@airflow_3
class TestAirflow3:
    def test_every_field_is_there_and_none_is_required(self, site, conn_type):
        form, ours = served(site, conn_type), CONNECTION_TYPES[conn_type]
        assert form["hook_name"] == ours["hook-name"]
        assert list(form["extra_fields"]) == list(ours["conn-fields"])
        for name, field in form["extra_fields"].items():
            our = ours["conn-fields"][name]
            assert field["schema"]["title"] == our["label"]
            assert field["description"] == our["description"]
            assert field["value"] == our["schema"].get("default")
            assert field["schema"].get("enum") == our["schema"].get("enum")
            assert field["schema"].get("format") == our["schema"].get("format")
            if AIRFLOW >= (
                3,
                2,
            ):  # before, Airflow makes the fields of the hook's widgets, which have no section
                assert field["schema"].get("section") == our["schema"].get("section")
            assert "null" in field["schema"]["type"]
            assert field["schema"]["type"][0] in (our["schema"]["type"][0], "string")

    def test_labels_and_placeholders(self, site, conn_type):
        form, ours = served(site, conn_type), CONNECTION_TYPES[conn_type]["ui-field-behaviour"]
        for part, field in form["standard_fields"].items():
            name = PARTS.get(part, part)
            if field is None:
                assert name not in {*ours["hidden-fields"], *ours["relabeling"], *ours["placeholders"]}
                continue
            assert field["hidden"] == (name in ours["hidden-fields"])
            assert field["title"] == ours["relabeling"].get(name)
            assert field["placeholder"] == ours["placeholders"].get(name)

    def test_what_the_form_saves_can_be_read(self, site, conn_type, good):
        """Unset fields are saved as nulls."""
        fields = {name: field["value"] for name, field in served(site, conn_type)["extra_fields"].items()}
        extra = fields | good.get("extra", {})
        body = {**good, "connection_id": f"saved_{conn_type}", "extra": json.dumps(extra)}
        assert site.client.post("/api/v2/connections", json=body).status_code == 201
        worked, said = site.test(**{**body, "extra": json.dumps(extra)})
        assert worked or conn_type == "djust", said
        shown = site.client.get(f"/api/v2/connections/saved_{conn_type}").json()
        assert good["password"] not in json.dumps(shown)

    def test_the_front_office_key_is_not_shown(self, site, sandbox):
        body = {
            "connection_id": "two_keys",
            "conn_type": "mirakl",
            "host": sandbox.mirakl_url,
            "password": "sandbox-operator-key",
            "extra": json.dumps({"role": "operator", "front_api_key": "sandbox-front-key"}),
        }
        assert site.client.post("/api/v2/connections", json=body).status_code == 201
        shown = site.client.get("/api/v2/connections/two_keys").text
        assert "sandbox-front-key" not in shown
        assert "sandbox-operator-key" not in shown


@airflow_2
class TestAirflow2:
    def page(self, site, path="/connection/add"):
        reply = site.client.get(path)
        assert reply.status_code == 200
        return reply.text

    def field(self, page, conn_type, name):
        found = re.search(rf'<input[^>]*\bid="extra__{conn_type}__{name}"[^>]*>', page)
        assert found, f"no field {name}"
        return found[0]

    def save(self, site, conn_type, path="/connection/add", **fields):
        """Post the form as a browser does: every field that has a value, of every type of connection."""
        page = self.page(site, path)
        posted = dict(re.findall(r'<input[^>]*\bname="(extra__\w+)"[^>]*\bvalue="([^"]*)"', page))
        data = posted | {"conn_type": conn_type} | fields
        reply = site.client.post(path, data=data, follow_redirects=False)
        assert reply.status_code == 302, re.findall(r'class="alert[^>]*>(.*?)</div>', reply.text, re.DOTALL)

    def stored(self, conn_id):
        from airflow.models.connection import Connection
        from airflow.utils.session import create_session

        with create_session() as session:
            row = session.query(Connection).filter(Connection.conn_id == conn_id).one()
            return row.id, row.extra_dejson

    def test_every_field_is_there(self, site, conn_type):
        page = self.page(site)
        for name, ours in CONNECTION_TYPES[conn_type]["conn-fields"].items():
            shown = self.field(page, conn_type, name)
            assert ('type="password"' in shown) == (ours["schema"].get("format") == "password")
            default = ours["schema"].get("default")
            assert f'value="{"" if default is None else str(default).lower()}"' in shown

    def test_labels_and_placeholders(self, site, conn_type):
        behaviours = re.search(r'id="field_behaviours" type="text/json">(.*?)</script>', self.page(site))
        ours = CONNECTION_TYPES[conn_type]["ui-field-behaviour"]
        shown = json.loads(html.unescape(behaviours[1]))[conn_type]
        assert shown["hidden_fields"] == ours["hidden-fields"]
        assert shown["relabeling"] == ours["relabeling"]
        for name, placeholder in ours["placeholders"].items():
            assert shown["placeholders"][name] == placeholder

    def test_a_saved_form_can_be_read(self, site, conn_type, good, monkeypatch):
        from airflow.models.connection import Connection

        from airflow_provider_mirakl.hooks.base import hook_of

        conn_id = f"saved_{conn_type}"
        extra = {f"extra__{conn_type}__{name}": value for name, value in good.pop("extra", {}).items()}
        self.save(site, conn_id=conn_id, **good, **extra)
        Connection.get_connection_from_secrets(conn_id)
        values = hook_of(conn_id).values
        assert values.settings.base_url == good["host"].removesuffix("/api")
        assert values.settings.timeout == 60.0

    def test_a_disabled_connection_stays_disabled_when_something_else_is_changed(self, site, conn_type, good):
        conn_id = f"off_{conn_type}"
        enabled = f"extra__{conn_type}__enabled"
        good.pop("extra", None)
        self.save(site, conn_id=conn_id, **good, **{enabled: "false"})
        number, extra = self.stored(conn_id)
        assert extra["enabled"] == "false"
        path = f"/connection/edit/{number}"
        assert 'value="false"' in self.field(self.page(site, path), conn_type, "enabled")
        self.save(site, path=path, conn_id=conn_id, **good, **{f"extra__{conn_type}__timeout": "30"})
        assert self.stored(conn_id)[1]["enabled"] == "false"
        assert self.stored(conn_id)[1]["timeout"] == "30"

    def test_another_word_is_refused_by_the_form(self, site, good, conn_type):
        data = {**good, "conn_id": "odd", f"extra__{conn_type}__enabled": "perhaps"}
        data.pop("extra", None)
        reply = site.client.post("/connection/add", data=data)
        assert "Invalid value, must be one of: true, false" in reply.text
