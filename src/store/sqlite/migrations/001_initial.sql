-- Ids of events and runs are UUIDv7 in 16 bytes; times are milliseconds since the Unix epoch.

CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

-- What people wrote: definition is the object as JSON, without its version and times.
CREATE TABLE source (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL CHECK (version > 0), definition TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE "trigger" (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL CHECK (version > 0), definition TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE bot (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL CHECK (version > 0), definition TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every version a trigger ever had: a run keeps the one that made it.
CREATE TABLE trigger_version (
  trigger_id TEXT NOT NULL, version INTEGER NOT NULL, definition TEXT NOT NULL, created_at INTEGER NOT NULL,
  PRIMARY KEY (trigger_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE source_stat (
  source_id TEXT PRIMARY KEY, events INTEGER NOT NULL, last_event_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The log. body stands last, so that lists never walk its overflow pages. received_at never falls from one
-- seq to the next: the writer sees to it, and the time bounds of queries are found by halving over seq.
CREATE TABLE event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id BLOB NOT NULL CHECK (length(id) = 16),
  source_id TEXT NOT NULL,
  type TEXT NOT NULL,
  subject TEXT,
  timestamp INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  matched INTEGER NOT NULL CHECK (matched IN (0, 1)),
  duplicates INTEGER NOT NULL DEFAULT 0,
  delivery_key TEXT,
  -- The first 48 bits of a hash of source and delivery key, and of a signed body.
  delivery_hash INTEGER,
  body_hash INTEGER,
  redelivery_of BLOB,
  causation TEXT,
  decisions TEXT,
  headers TEXT,
  body_format TEXT NOT NULL,
  body_bytes INTEGER NOT NULL,
  body_sha256 BLOB NOT NULL CHECK (length(body_sha256) = 32),
  body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX event_id ON event (id);
CREATE INDEX event_source ON event (source_id, seq);
CREATE INDEX event_type ON event (type, seq);
CREATE INDEX event_subject ON event (subject, seq) WHERE subject IS NOT NULL;
CREATE INDEX event_matched ON event (matched, seq);

-- Find a delivery that came before, and the same signed body under another delivery id. hash-index.ts fills them, sorted
-- and late; the writer looks before it writes, and it is the only one.
CREATE TABLE delivery_index (hash INTEGER NOT NULL, event_seq INTEGER NOT NULL, PRIMARY KEY (hash, event_seq)) STRICT, WITHOUT ROWID;
CREATE TABLE body_index (hash INTEGER NOT NULL, event_seq INTEGER NOT NULL, PRIMARY KEY (hash, event_seq)) STRICT, WITHOUT ROWID;

-- The events that a trigger had a part in; what was decided stands in event.decisions.
CREATE TABLE decision (
  trigger_id TEXT NOT NULL, event_seq INTEGER NOT NULL,
  PRIMARY KEY (trigger_id, event_seq)
) STRICT, WITHOUT ROWID;

-- One row per run that is owed, running or dead. What ended otherwise moves to run_archive, same columns.
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id BLOB NOT NULL CHECK (length(id) = 16),
  event_seq INTEGER NOT NULL,
  trigger_id TEXT NOT NULL,
  trigger_version INTEGER NOT NULL,
  bot_id TEXT NOT NULL,
  workflow_id TEXT,
  state TEXT NOT NULL CHECK (state IN ('pending', 'awaiting_approval', 'held', 'assigned', 'running', 'paused', 'failed', 'timed_out')),
  -- Whether not_before has come: due rows and rows of the future stand in indexes of their own, so that
  -- neither is ever walked to find the other.
  ready INTEGER NOT NULL CHECK (ready IN (0, 1)),
  priority INTEGER NOT NULL CHECK (priority BETWEEN -100 AND 100),
  not_before INTEGER NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0,
  attempt_base INTEGER NOT NULL DEFAULT 0,
  steps INTEGER NOT NULL DEFAULT 1,
  replay INTEGER NOT NULL DEFAULT 0 CHECK (replay IN (0, 1)),
  cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
  lease_token TEXT,
  lease_until INTEGER,
  error TEXT,
  result TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  finished_at INTEGER,
  CHECK ((state IN ('assigned', 'running', 'paused')) = (lease_token IS NOT NULL)),
  CHECK ((state IN ('failed', 'timed_out')) = (finished_at IS NOT NULL)),
  CHECK (attempt >= attempt_base)
) STRICT;
CREATE UNIQUE INDEX outbox_id ON outbox (id);
CREATE INDEX outbox_event ON outbox (event_seq);
CREATE INDEX outbox_due ON outbox (bot_id, priority DESC, not_before, seq) WHERE state = 'pending' AND ready = 1;
CREATE INDEX outbox_later ON outbox (not_before) WHERE state = 'pending' AND ready = 0;
CREATE INDEX outbox_leased ON outbox (lease_until) WHERE lease_token IS NOT NULL;
CREATE INDEX outbox_dead ON outbox (seq) WHERE state IN ('failed', 'timed_out');
CREATE INDEX outbox_died ON outbox (finished_at) WHERE state IN ('failed', 'timed_out');

CREATE TABLE run_archive (
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL CHECK (length(id) = 16),
  event_seq INTEGER NOT NULL,
  trigger_id TEXT NOT NULL,
  trigger_version INTEGER NOT NULL,
  bot_id TEXT NOT NULL,
  workflow_id TEXT,
  state TEXT NOT NULL CHECK (state IN ('completed', 'cancelled', 'failed', 'timed_out')),
  ready INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  attempt_base INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  replay INTEGER NOT NULL,
  cancel_requested INTEGER NOT NULL,
  lease_token TEXT CHECK (lease_token IS NULL),
  lease_until INTEGER,
  error TEXT,
  result TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  finished_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX run_archive_id ON run_archive (id);
CREATE INDEX run_archive_event ON run_archive (event_seq);
CREATE INDEX run_archive_trigger ON run_archive (trigger_id, seq);
CREATE INDEX run_archive_bot ON run_archive (bot_id, seq);
CREATE INDEX run_archive_unhappy ON run_archive (state, seq) WHERE state <> 'completed';

-- One row per move; step counts from 1.
CREATE TABLE run_history (
  run_seq INTEGER NOT NULL, step INTEGER NOT NULL, at INTEGER NOT NULL, move TEXT NOT NULL,
  from_state TEXT, to_state TEXT NOT NULL, attempt INTEGER NOT NULL, reason TEXT,
  PRIMARY KEY (run_seq, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
  run_seq INTEGER NOT NULL, number INTEGER NOT NULL CHECK (number > 0), started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('success', 'retry', 'permanent', 'timeout', 'cancelled', 'unknown')),
  status TEXT, error TEXT, output TEXT,
  PRIMARY KEY (run_seq, number)
) STRICT, WITHOUT ROWID;
