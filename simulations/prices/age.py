"""How old a price is. Spot prices change up to once a day (cloud.google.com/spot-vms/pricing), list prices seldom."""

import calendar
from datetime import date

from policies.errors import BadInput

OLD_DAYS = 180
"""From here on a price is called old."""


def age_days(as_of: str, today: date) -> int:
    """Days since a price was published, at least; as_of: YYYY-MM-DD, or YYYY-MM or YYYY where only that is known.

    Of a month or a year the last day is taken. A price of the future is 0 days old. Raises BadInput.
    """
    parts = as_of.split("-")
    try:
        year, month = int(parts[0]), int(parts[1]) if len(parts) > 1 else 12
        day = int(parts[2]) if len(parts) > 2 else calendar.monthrange(year, month)[1]
        published = date(year, month, day)
    except (ValueError, calendar.IllegalMonthError):
        raise BadInput(f"as_of: was {as_of!r}, must be YYYY-MM-DD, YYYY-MM or YYYY") from None
    return max(0, (today - published).days)
