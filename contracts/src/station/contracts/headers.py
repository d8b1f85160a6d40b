"""Names of message headers on the bus."""

TRACEPARENT = "traceparent"
IDEMPOTENCY_KEY = "idempotency-key"
CONTENT_TYPE = "content-type"
CONTRACT_VERSION = "station-contract"
ERROR_CODE = "Nats-Service-Error-Code"
ERROR_TEXT = "Nats-Service-Error"

MSGPACK = "application/msgpack"
JSON = "application/json"
VERSION = "1"
