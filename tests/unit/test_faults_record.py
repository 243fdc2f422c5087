"""What ``make faults`` records of a run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import faults

REPORT = """<testsuites><testsuite>
  <testcase name="test_a_fault[P41,_503,_worker]"/>
  <testcase name="test_a_fault[P41,_lost,_worker]"><failure message="x"/></testcase>
  <testcase name="test_a_fault[A02,_503,_worker]"><error message="x"/></testcase>
  <testcase name="test_the_table_names_operations_and_faults_that_there_are"><failure message="x"/></testcase>
</testsuite></testsuites>"""


def test_cells_are_counted_and_those_that_failed_named(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    assert faults.counted(tmp_path / "report.xml") == {
        "passed": 1,
        "failed": ["A02,_503,_worker", "P41,_lost,_worker"],
    }
