"""Which licenses a dependency may have, and which failures of a tool mean that nothing answered."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "supply.py"


@pytest.fixture(scope="module")
def supply() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supply", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "license_of_a_package",
    [
        "MIT",
        "mit license",
        "Apache Software License",
        "Apache-2.0 OR BSD-2-Clause",
        "BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0",
        "(MIT OR GPL-3.0-only) AND (Apache-2.0)",
        "GPL-3.0-only OR MIT",
        "Apache-2.0 WITH LLVM-exception",
        "LGPL-3.0-only",
        "GNU Lesser General Public License v3 or later (LGPLv3+)",
        "Mozilla Public License 2.0 (MPL 2.0)",
        "BSD License; GNU General Public License (GPL); Public Domain",
        "Artistic License; GNU General Public License (GPL); GNU General Public License v2 or later (GPLv2+)",
        "DFSG approved; MIT License",
    ],
)
def test_may_be_depended_on(supply: ModuleType, license_of_a_package: str) -> None:
    assert supply.is_allowed(license_of_a_package)


@pytest.mark.parametrize(
    "license_of_a_package",
    [
        "UNKNOWN",
        "",
        "GPL",
        "GPLv3",
        "GPL-2.0-or-later",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "GNU General Public License v3 (GPLv3)",
        "AGPL-3.0-only",
        "SSPL-1.0",
        "Proprietary",
        "Other/Proprietary License",
        "CC-BY-NC-4.0",
        "BUSL-1.1",
        "MIT AND GPL-3.0-only",
        "(MIT OR Apache-2.0) AND GPL-3.0-only",
        "GPL-3.0-only AND (MIT OR Apache-2.0)",
        "MIT License with the Commons Clause",
    ],
)
def test_may_not_be_depended_on(supply: ModuleType, license_of_a_package: str) -> None:
    assert not supply.is_allowed(license_of_a_package)


@pytest.mark.parametrize(
    ("stderr", "unreachable"),
    [
        (
            "ConnectionError: HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded with url",
            True,
        ),
        ("ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed", True),
        (
            "ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 403 Forbidden'))",
            True,
        ),
        (
            "requests.exceptions.HTTPError: 404 Client Error: Not Found for url: https://pypi.org/pypi/x/1",
            False,
        ),
        ("requests.exceptions.HTTPError: 403 Client Error: Forbidden for url", False),
        ("pip_audit._service.interface.ServiceError: Received malformed version from PyPI: ['404']", False),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/x/404'", False),
        ("", False),
    ],
)
def test_only_a_failed_connection_is_no_answer(supply: ModuleType, stderr: str, unreachable: bool) -> None:
    assert supply.is_unreachable(stderr) is unreachable
