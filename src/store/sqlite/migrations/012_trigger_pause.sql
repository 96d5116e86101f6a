-- Triggers that are paused: a state, not a part of the definition. Their runs wait on the lane trigger:ID (outbox.parked_on).
CREATE TABLE trigger_pause (
  trigger_id TEXT PRIMARY KEY, reason TEXT, paused_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a person changed of a run before it began: inputs (JSON) and context files (a JSON list as event.emit takes it), each NULL where
-- it was not changed. sha256 is over both, with a line feed between.
CREATE TABLE run_override (
  run_seq INTEGER PRIMARY KEY, inputs TEXT, context_files TEXT,
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  CHECK (inputs IS NOT NULL OR context_files IS NOT NULL)
) STRICT;
