"""Whose data a note is about: what must not be taken for the data of another account.

An owner is a list of names of one account, from the general one to the precise one, such as those of a client id and of
a company. The names are digests. A secret is no part of them, so a key may be replaced.
"""

from __future__ import annotations

from collections.abc import Sequence


def is_another(noted: Sequence[str], current: Sequence[str]) -> bool:
    """Whether two owners are different accounts, by the most precise name that both have.

    :param noted: the owner in a note; empty in a note of a version that did not keep it, which fits every owner.
    :param current: the owner now; empty if it is not known.
    """
    shared = min(len(noted), len(current))
    return bool(shared) and noted[shared - 1] != current[shared - 1]
