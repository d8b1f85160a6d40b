-- The engine's tables. Times are integer milliseconds since 1970 UTC; JSON is text, made by our own encoder alone.
-- Rows of runs, steps, approvals and signals are the fold of workflow_run_events and can be made anew from them.

CREATE TABLE workflows (
    workflow_id TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
    source TEXT NOT NULL CHECK (source IN ('api', 'file')),
    environment TEXT,
    source_path TEXT,
    sync_status TEXT NOT NULL CHECK (sync_status IN ('not_applicable', 'synced', 'invalid', 'missing')),
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE workflow_definitions (
    workflow_id TEXT NOT NULL REFERENCES workflows (workflow_id) ON DELETE CASCADE,
    revision INTEGER NOT NULL CHECK (revision > 0),
    name TEXT NOT NULL,
    description TEXT,
    version_label TEXT NOT NULL,
    definition TEXT NOT NULL,
    digest TEXT NOT NULL,
    warnings TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (workflow_id, revision)
) STRICT;

-- What each workflow file last gave: the API may have changed the workflow since.
CREATE TABLE workflow_files (
    path TEXT PRIMARY KEY,
    workflow_id TEXT NOT NULL,
    digest TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE workflow_runs (
    run_id TEXT PRIMARY KEY,
    workflow_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    environment TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN (
        'PENDING', 'RUNNING', 'WAITING_APPROVAL', 'WAITING_SIGNAL', 'PAUSED',
        'COMPLETED', 'FAILED', 'CANCELLED', 'TIMED_OUT')),
    seq INTEGER NOT NULL,
    last_hash TEXT NOT NULL,
    error TEXT,
    labels TEXT NOT NULL,
    started_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    completed_at INTEGER,
    deadline_at INTEGER,
    usage TEXT,
    FOREIGN KEY (workflow_id, revision) REFERENCES workflow_definitions (workflow_id, revision),
    CHECK ((completed_at IS NOT NULL) = (status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'TIMED_OUT')))
) STRICT, WITHOUT ROWID;

-- Newest first, and not by run_id: whoever starts a run may choose its id.
CREATE INDEX workflow_runs_by_age ON workflow_runs (created_at, run_id);
CREATE INDEX workflow_runs_by_workflow ON workflow_runs (workflow_id, created_at, run_id);
CREATE INDEX workflow_runs_by_status ON workflow_runs (status, created_at, run_id);
CREATE INDEX workflow_runs_by_workflow_and_status ON workflow_runs (workflow_id, status, created_at, run_id);
CREATE INDEX workflow_runs_ended ON workflow_runs (workflow_id, completed_at, status)
WHERE completed_at IS NOT NULL;
CREATE INDEX workflow_runs_deadlines ON workflow_runs (deadline_at)
WHERE deadline_at IS NOT NULL AND completed_at IS NULL;

-- What lists and figures say of all runs is kept along with them, so that no request counts what years have left.
CREATE TABLE workflow_run_counts (
    workflow_id TEXT NOT NULL,
    status TEXT NOT NULL,
    runs INTEGER NOT NULL,
    PRIMARY KEY (workflow_id, status)
) STRICT, WITHOUT ROWID;

-- How many runs ended on a day (number of days since 1970, UTC), and how many of them as they should.
CREATE TABLE workflow_run_days (
    workflow_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    PRIMARY KEY (workflow_id, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE workflow_run_labels (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (name, value, created_at, run_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER workflow_runs_counted AFTER INSERT ON workflow_runs
BEGIN
    INSERT INTO workflow_run_counts VALUES (NEW.workflow_id, NEW.status, 1) ON CONFLICT DO UPDATE SET runs = runs + 1;
END;

CREATE TRIGGER workflow_runs_recounted AFTER UPDATE OF status ON workflow_runs WHEN NEW.status <> OLD.status
BEGIN
    UPDATE workflow_run_counts SET runs = runs - 1 WHERE workflow_id = OLD.workflow_id AND status = OLD.status;
    INSERT INTO workflow_run_counts VALUES (NEW.workflow_id, NEW.status, 1) ON CONFLICT DO UPDATE SET runs = runs + 1;
END;

CREATE TRIGGER workflow_runs_labelled AFTER INSERT ON workflow_runs WHEN NEW.labels <> '{}'
BEGIN
    INSERT INTO workflow_run_labels SELECT key, value, NEW.created_at, NEW.run_id FROM json_each(NEW.labels);
END;

CREATE TRIGGER workflow_runs_born_ended AFTER INSERT ON workflow_runs WHEN NEW.completed_at IS NOT NULL
BEGIN
    INSERT INTO workflow_run_days
    VALUES (NEW.workflow_id, NEW.completed_at / 86400000, 1, NEW.status = 'COMPLETED')
    ON CONFLICT DO UPDATE SET ended = ended + 1, completed = completed + excluded.completed;
END;

CREATE TRIGGER workflow_runs_end AFTER UPDATE OF completed_at ON workflow_runs
WHEN NEW.completed_at IS NOT NULL AND OLD.completed_at IS NULL
BEGIN
    INSERT INTO workflow_run_days
    VALUES (NEW.workflow_id, NEW.completed_at / 86400000, 1, NEW.status = 'COMPLETED')
    ON CONFLICT DO UPDATE SET ended = ended + 1, completed = completed + excluded.completed;
END;

-- What may be large stands apart, so that a run's row stays small however often it changes.
CREATE TABLE workflow_run_documents (
    run_id TEXT PRIMARY KEY REFERENCES workflow_runs (run_id),
    input TEXT NOT NULL,
    context TEXT,
    output TEXT
) STRICT;

CREATE TABLE workflow_run_steps (
    run_id TEXT NOT NULL REFERENCES workflow_runs (run_id),
    entered_seq INTEGER NOT NULL,
    attempt INTEGER NOT NULL CHECK (attempt > 0),
    step_id TEXT NOT NULL,
    state_name TEXT NOT NULL,
    state_type TEXT NOT NULL,
    branch_path TEXT NOT NULL,
    foreach_index INTEGER,
    visit INTEGER NOT NULL,
    action TEXT,
    status TEXT NOT NULL CHECK (status IN (
        'PENDING', 'RUNNING', 'WAITING_APPROVAL', 'SUCCEEDED', 'FAILED', 'CANCELLED', 'TIMED_OUT')),
    input TEXT,
    output TEXT,
    error TEXT,
    agent_run_id TEXT,
    token INTEGER,
    runner TEXT,
    signal TEXT,
    entered_at INTEGER NOT NULL,
    started_at INTEGER,
    completed_at INTEGER,
    wake_at INTEGER,
    usage TEXT,
    agent TEXT,
    PRIMARY KEY (run_id, entered_seq, attempt),
    CHECK ((completed_at IS NOT NULL) = (status IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'TIMED_OUT')))
) STRICT, WITHOUT ROWID;

CREATE INDEX workflow_run_steps_open ON workflow_run_steps (run_id, entered_seq)
WHERE completed_at IS NULL;

CREATE TABLE workflow_run_events (
    run_id TEXT NOT NULL REFERENCES workflow_runs (run_id),
    seq INTEGER NOT NULL CHECK (seq > 0),
    type TEXT NOT NULL,
    at INTEGER NOT NULL,
    step_id TEXT,
    actor TEXT NOT NULL,
    data TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

-- Also against REPLACE, which fires no trigger of a deletion; and no history has a hole.
CREATE TRIGGER workflow_run_events_only_follow BEFORE INSERT ON workflow_run_events
WHEN NEW.seq <> 1 + (SELECT coalesce(max(seq), 0) FROM workflow_run_events WHERE run_id = NEW.run_id)
BEGIN
    SELECT RAISE(ABORT, 'workflow_run_events is append-only: the next event has the next seq');
END;

CREATE TRIGGER workflow_run_events_never_change BEFORE UPDATE ON workflow_run_events
BEGIN
    SELECT RAISE(ABORT, 'workflow_run_events is append-only');
END;

CREATE TRIGGER workflow_run_events_never_go BEFORE DELETE ON workflow_run_events
BEGIN
    SELECT RAISE(ABORT, 'workflow_run_events is append-only');
END;

CREATE TABLE workflow_approvals (
    approval_id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES workflow_runs (run_id),
    step_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    state_name TEXT NOT NULL,
    message TEXT NOT NULL,
    summary TEXT NOT NULL,
    summary_digest TEXT NOT NULL,
    approvers TEXT NOT NULL,
    quorum INTEGER NOT NULL,
    allow_self_approval INTEGER NOT NULL CHECK (allow_self_approval IN (0, 1)),
    started_by TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('PENDING', 'APPROVED', 'REJECTED', 'TIMED_OUT', 'CANCELLED')),
    decisions TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    deadline_at INTEGER,
    decided_at INTEGER,
    CHECK ((decided_at IS NULL) = (status = 'PENDING'))
) STRICT, WITHOUT ROWID;

CREATE INDEX workflow_approvals_by_run ON workflow_approvals (run_id, approval_id);
CREATE INDEX workflow_approvals_by_status ON workflow_approvals (status, approval_id);

-- The inbox of each person and team, and under the empty name what anybody may decide.
CREATE TABLE workflow_approvers (
    approver TEXT NOT NULL,
    status TEXT NOT NULL,
    approval_id TEXT NOT NULL,
    barred TEXT NOT NULL,
    PRIMARY KEY (approver, status, approval_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE workflow_approval_counts (
    status TEXT PRIMARY KEY,
    approvals INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER workflow_approvals_asked AFTER INSERT ON workflow_approvals
BEGIN
    INSERT INTO workflow_approval_counts VALUES (NEW.status, 1) ON CONFLICT DO UPDATE SET approvals = approvals + 1;
    INSERT INTO workflow_approvers
    SELECT DISTINCT value, NEW.status, NEW.approval_id,
        CASE WHEN NEW.allow_self_approval THEN '' ELSE lower(NEW.started_by) END
    FROM json_each(CASE NEW.approvers WHEN '[]' THEN '[""]' ELSE NEW.approvers END);
END;

CREATE TRIGGER workflow_approvals_decided AFTER UPDATE OF status ON workflow_approvals WHEN NEW.status <> OLD.status
BEGIN
    UPDATE workflow_approval_counts SET approvals = approvals - 1 WHERE status = OLD.status;
    INSERT INTO workflow_approval_counts VALUES (NEW.status, 1) ON CONFLICT DO UPDATE SET approvals = approvals + 1;
    UPDATE workflow_approvers SET status = NEW.status
    WHERE status = OLD.status AND approval_id = NEW.approval_id
        AND approver IN (SELECT value FROM json_each(CASE NEW.approvers WHEN '[]' THEN '[""]' ELSE NEW.approvers END));
END;

CREATE TABLE workflow_signals (
    run_id TEXT NOT NULL REFERENCES workflow_runs (run_id),
    received_seq INTEGER NOT NULL,
    signal_id TEXT NOT NULL,
    name TEXT NOT NULL,
    payload TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    consumed_by TEXT,
    PRIMARY KEY (run_id, received_seq),
    UNIQUE (run_id, signal_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    answer BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- One row per turn: its events (by range) and the tasks it hands out. Deleted once the broker has all of them.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    messages BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Messages that nobody could use: kept and counted, never retried for ever.
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    subject TEXT NOT NULL,
    body BLOB NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE agents (
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    summary TEXT NOT NULL,
    announced_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (environment, name)
) STRICT, WITHOUT ROWID;

-- Every version that was ever announced: a run that began with one can go on with it.
CREATE TABLE agent_versions (
    digest TEXT PRIMARY KEY,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    kept_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE environments (
    environment TEXT PRIMARY KEY,
    announced_by TEXT NOT NULL,
    problems TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE runners (
    runner TEXT PRIMARY KEY,
    boot INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
