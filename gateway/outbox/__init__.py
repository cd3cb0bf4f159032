"""Mail that is to be sent: kept until the upstream's submission server has taken it, or will not.

Rule 1: a message is in the store and on the disk before anybody is told that it will be sent.
Rule 2: that a message may have gone is written down before the dot that sends it. Found later without a result, it is
        never sent again: its recipients' status is unknown, and says so.
Rule 3: what a server refuses for now is tried again, less and less often, and given up in the end; every refusal shows
        in `deliveryStatus`.
"""

from gateway.outbox.desk import Desk
from gateway.outbox.outbox import Login, Logins, Outbox
from gateway.outbox.receipts import Receipts
from gateway.outbox.spool import Spool

__all__ = ["Desk", "Login", "Logins", "Outbox", "Receipts", "Spool"]
