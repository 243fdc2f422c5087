"""Formats that several systems share."""

from __future__ import annotations

import re
from datetime import datetime

_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)")
LOCALE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?")

_ISO_4217 = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD
CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT
LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR
NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP
STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD
XCG XOF XPF YER ZAR ZMW ZWG ZWL
"""
CURRENCIES = frozenset(_ISO_4217.split())


def parse_date(text: object) -> float | None:
    """Unix time of an ISO 8601 date-time with an offset; ``None`` if it is not one."""
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        return None
    main, _, rest = text.partition(".")
    if rest:
        digits = re.match(r"\d+", rest)
        length = digits.end() if digits else 0
        text = f"{main}.{rest[:length][:6].ljust(6, '0')}{rest[length:]}"
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
