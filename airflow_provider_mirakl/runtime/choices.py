"""Arguments with a few values, where more than one module reads them. Cheap to import."""

from __future__ import annotations

from typing import Literal

SourceFormat = Literal["ndjson", "json", "csv", "parquet"]
"""The format of a source."""
OnInvalid = Literal["fail", "reject"]
"""What to do with items that are wrong."""
UnknownFields = Literal["reject", "send"]
"""What to do with fields that Mirakl does not document."""
OnFinding = Literal["fail", "warn", "off"]
"""What to do when the check of a file finds a problem."""
OnUnclear = Literal["search", "resend", "fail"]
"""What to do when it is not known whether Mirakl accepted a submission."""
FailOrResend = Literal["fail", "resend"]
"""The same where Mirakl has no list to look in."""
OnNone = Literal["pass", "skip", "fail"]
"""What to do if nothing is found."""
OnLostState = Literal["fail", "full"]
"""What to do if the state or the watermark of an earlier run is missing."""
OnChangedFilters = Literal["fail", "restart"]
"""What to do if the filters differ from those of the watermark."""
Until = Literal["sent", "complete"]
"""The state that ends the wait for a product import."""
TargetFormat = Literal["ndjson", "csv", "parquet"]
"""The format of a file that an export writes."""
ExtractFormat = Literal["ndjson", "parquet"]
"""The format of the files that an extract writes."""
Layout = Literal["nested", "flat"]
"""How an extract writes objects inside objects."""
PersonalData = Literal["keep", "drop"]
"""What an extract does with personal data."""
