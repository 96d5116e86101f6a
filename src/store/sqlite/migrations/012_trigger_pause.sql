-- Triggers that are paused: a state, not a part of the definition. Their runs wait on the lane trigger:ID (outbox.parked_on).
CREATE TABLE trigger_pause (
  trigger_id TEXT PRIMARY KEY, reason TEXT, paused_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
