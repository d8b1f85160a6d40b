"""Numbers that messages carry, with what they may be: nothing that a store or a page cannot hold gets past decoding."""

from typing import Annotated

from msgspec import Meta

PageLimit = Annotated[int, Meta(ge=1, le=1000)]
"""Most items of one page."""
Seq = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""Place of an event in its run; also a fencing token. JSON numbers are exact up to here."""
Revision = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""Of a workflow."""
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""Of attempts, and of starts of a runner."""
Wanted = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""How many of something somebody would take."""
Bytes = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""How large something is."""
