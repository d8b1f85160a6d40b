"""The one table of every STATION_ variable. One that is not in it refuses to start; the docs are made from it."""

import difflib
from collections.abc import Mapping

from station.contracts.problems import Problem
from station.contracts.wire import Wire

PREFIX = "STATION_"
ALL = ("gateway", "scheduler", "agent-runner", "approval-service", "stn")
_PROBED = ("scheduler", "agent-runner", "approval-service")


class Variable(Wire):
    """One environment variable."""

    name: str
    default: str | None
    """As text; None: not set."""
    meaning: str
    services: tuple[str, ...]
    internal: bool = False
    """Set by `stn up` for its children, or by tests; not by people."""


def _variable(name: str, default: str | None, services: tuple[str, ...], meaning: str) -> Variable:
    return Variable(name=PREFIX + name, default=default, meaning=meaning, services=services)


VARIABLES: tuple[Variable, ...] = (
    _variable(
        "ANTHROPIC_API_KEY",
        None,
        ("agent-runner",),
        "Key for agents with `model: anthropic/…`. Not set: ANTHROPIC_API_KEY.",
    ),
    _variable(
        "ANTHROPIC_BASE_URL",
        None,
        ("agent-runner",),
        "Address of the Anthropic API. Not set: ANTHROPIC_BASE_URL, else the one of the provider.",
    ),
    _variable(
        "API_URL",
        None,
        ("stn",),
        "Where the commands of `stn` find Station. Not set: where the one of the data directory answers, "
        "else as STATION_HTTP_HOST and STATION_HTTP_PORT say.",
    ),
    _variable(
        "ALLOWED_HOSTS",
        None,
        ("gateway",),
        "Host names the API answers to, with commas. Not set: on a loopback address only loopback names, else any.",
    ),
    _variable(
        "DATA_DIR", ".station", ALL, "Where everything is kept: database, JetStream store, spool, credentials, logs."
    ),
    _variable(
        "DATABASE_URL",
        None,
        ("scheduler", "stn"),
        "The database, as `sqlite:///path`. Not set: `station.db` in the data directory.",
    ),
    _variable(
        "ENVIRONMENTS_DIR",
        "deploy/environments",
        ALL,
        "Agents, workflows and MCP servers, one folder per environment; only read.",
    ),
    _variable("EVALUATORS", "2", ("scheduler",), "Helper processes that evaluate Starlark conditions."),
    _variable(
        "GOOGLE_API_KEY",
        None,
        ("agent-runner",),
        "Key for agents with `model: google/…`. Not set: GOOGLE_API_KEY, else GEMINI_API_KEY.",
    ),
    _variable(
        "GOOGLE_BASE_URL", None, ("agent-runner",), "Address of the Gemini API. Not set: the one of the provider."
    ),
    _variable("HTTP_HOST", "127.0.0.1", ("gateway", "stn"), "Address on which the API listens."),
    _variable("HTTP_PORT", "8585", ("gateway", "stn"), "Port of the API. 0: any free one."),
    _variable(
        "LEASE_SECONDS", "15", ("scheduler",), "How long a runner may be silent before its steps are handed out anew."
    ),
    _variable("LOG_FORMAT", None, ALL, "`json` or `console`. Not set: `console` on a terminal, else `json`."),
    _variable("LOG_LEVEL", "info", ALL, "`debug`, `info`, `warning` or `error`."),
    _variable("MAX_CONTEXT_BYTES", "8388608", ("scheduler",), "Largest context of a run, in bytes of JSON."),
    _variable(
        "MAX_OUTPUT_BYTES", "1048576", ("scheduler", "agent-runner"), "Largest output of one step, in bytes of JSON."
    ),
    _variable(
        "MAX_STATES",
        "10000",
        ("scheduler",),
        "States that a run may enter, first visits for an item of a list apart: ends loops that go round for ever.",
    ),
    _variable("MAX_STREAMS", "500", ("gateway",), "Event streams that may be open at a time."),
    _variable("METRICS_HOST", "127.0.0.1", _PROBED, "Address of /healthz, /readyz and /metrics of this process."),
    _variable("METRICS_PORT", "0", _PROBED, "Port of /healthz, /readyz and /metrics of this process. 0: any free one."),
    _variable(
        "MODEL_SILENCE_SECONDS",
        "300",
        ("agent-runner",),
        "How long a model may send nothing before its request is given up.",
    ),
    _variable("NATS_EMBEDDED", "true", ALL, "`stn up` starts the bundled broker. false: connect to STATION_NATS_URL."),
    _variable("NATS_JETSTREAM_ENABLED", "true", ALL, "Only true: work is handed out through JetStream."),
    _variable(
        "NATS_SYNC", "default", ("stn",), "`always`: the bundled broker also survives a power cut, 3 to 9 times slower."
    ),
    _variable("NATS_URL", "nats://127.0.0.1:4222", ALL, "The broker; may hold `user:password@`."),
    _variable(
        "OLLAMA_API_KEY",
        None,
        ("agent-runner",),
        "Key for agents with `model: ollama/…`, where the server wants one. Not set: OLLAMA_API_KEY.",
    ),
    _variable(
        "OLLAMA_BASE_URL",
        None,
        ("agent-runner",),
        "Server for agents with `model: ollama/…`, as `http://127.0.0.1:11434/v1`. Not set: OLLAMA_BASE_URL.",
    ),
    _variable(
        "OPENAI_API_KEY", None, ("agent-runner",), "Key for agents with `model: openai/…`. Not set: OPENAI_API_KEY."
    ),
    _variable(
        "OPENAI_BASE_URL",
        None,
        ("agent-runner",),
        "Any server that speaks as OpenAI does, with `/v1`. Not set: OPENAI_BASE_URL, else OpenAI.",
    ),
    _variable(
        "OTLP_ENDPOINT",
        None,
        ALL,
        "Where traces go, as `http://host:4318` (OTLP over HTTP). Not set: nothing is exported.",
    ),
    _variable(
        "PRICES_FILE",
        None,
        ("agent-runner",),
        "Prices of models as JSON, read again when it changes; they hold before those that come with Station.",
    ),
    _variable("RECONCILE_SECONDS", "1", ("scheduler",), "Pause between two reconcile passes."),
    _variable(
        "REQUEST_SECONDS", "10", ("gateway",), "How long the API repeats a command while the scheduler does not answer."
    ),
    _variable("RUNNER_CONCURRENCY", "64", ("agent-runner",), "Steps that one runner executes at a time."),
    _variable(
        "RUNNER_ID",
        None,
        ("agent-runner",),
        "Stable id of this runner. Not set: made once and kept in its spool directory.",
    ),
    _variable("SHUTDOWN_SECONDS", "5", ALL, "How long a process may take to finish its work when it is told to stop."),
    _variable("TEAMS", None, ("stn",), "Your teams when you use `stn`, with commas between them."),
    _variable(
        "TRACE_CONTENT",
        "false",
        ("agent-runner",),
        "true: prompts, answers and what tools are given go into spans, too; known secrets are struck out.",
    ),
    _variable("USER", None, ("stn",), "Who you are to Station when you use `stn`. Not set: your name at this machine."),
    Variable(
        name="STATION_PARENT_PID",
        default=None,
        services=ALL,
        internal=True,
        meaning="The process dies with this one (Linux).",
    ),
    Variable(
        name="STATION_FAILPOINTS",
        default=None,
        services=ALL,
        internal=True,
        meaning="For tests only: the directory whose files say where processes kill themselves.",
    ),
)
NAMES = frozenset(variable.name for variable in VARIABLES)


def unknown(environ: Mapping[str, str]) -> list[Problem]:
    """A problem for every STATION_ variable that does not exist, with the name that may have been meant."""
    return [_unknown(name) for name in sorted(environ) if name.startswith(PREFIX) and name not in NAMES]


def _unknown(name: str) -> Problem:
    public = [variable.name for variable in VARIABLES if not variable.internal]
    close = difflib.get_close_matches(name, public, n=1, cutoff=0.7)
    hint = (
        f"Did you mean {close[0]}? Otherwise unset it." if close else "Unset it; the documentation lists all variables."
    )
    return Problem("unknown_setting", name, "There is no such setting.", hint)
