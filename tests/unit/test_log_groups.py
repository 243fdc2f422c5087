"""A long list in the task log: its beginning is always visible."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_mirakl.log_groups import log_lines


@pytest.mark.parametrize(("count", "groups"), [(0, []), (10, []), (12, ["::group::2 more", "::endgroup::"])])
def test_what_is_folded(count: int, groups: list[str], caplog: pytest.LogCaptureFixture) -> None:
    lines = [f"{number} %s" for number in range(count)]
    with caplog.at_level(logging.INFO):
        log_lines(logging.getLogger("task").info, "Report:", lines)
    assert caplog.messages[: 1 + min(count, 10)] == ["Report:", *lines[:10]]
    assert [message for message in caplog.messages if message.startswith("::")] == groups
    assert [message for message in caplog.messages[1:] if not message.startswith("::")] == lines
