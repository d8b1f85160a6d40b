"""What the gateway counts. Labels come from small fixed sets only: route templates, never paths."""

from station.runtime.metrics import counter, gauge, histogram

REQUESTS = counter("http_requests", "HTTP requests by method, route and status.", ("method", "route", "status"))
LATENCY = histogram("http_response_start_seconds", "Time until the head of the response is sent.", ("method", "route"))
STREAMS = gauge("gateway_streams", "Event streams that are open now.")
STREAM_GAPS = counter("gateway_stream_gaps", "Holes in the live events that were filled by a query.")
RPC_FAILURES = counter("gateway_rpc_failures", "Requests on the bus that got no answer.", ("subject",))
PROGRESS_DROPPED = counter("gateway_progress_dropped_total", "What agents said and a reader was too slow for.")
