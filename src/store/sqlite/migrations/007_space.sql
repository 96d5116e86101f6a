-- What retention_bytes removed before its delivery key had expired: enough to recognise the same delivery, or the same signed body,
-- when it comes again. files_sha256 is over the names and hashes of the context files.
CREATE TABLE removed_event (
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL CHECK (length(id) = 16),
  source_id TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  delivery_key TEXT,
  delivery_hash INTEGER,
  body_hash INTEGER,
  body_sha256 BLOB NOT NULL CHECK (length(body_sha256) = 32),
  decisions TEXT,
  files_sha256 BLOB NOT NULL CHECK (length(files_sha256) = 32)
) STRICT;

-- When a trigger was deleted: its versions stay for the retention period, for rollback. Of those deleted before, it is unknown.
CREATE TABLE deleted_trigger (trigger_id TEXT PRIMARY KEY, deleted_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO deleted_trigger (trigger_id, deleted_at)
  SELECT DISTINCT trigger_id, unixepoch() * 1000 FROM trigger_version WHERE trigger_id NOT IN (SELECT id FROM "trigger");

-- Hashes that were written after their event had been removed.
DELETE FROM delivery_index WHERE event_seq NOT IN (SELECT seq FROM event);
DELETE FROM body_index WHERE event_seq NOT IN (SELECT seq FROM event);
