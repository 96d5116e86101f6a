-- Tokens of the admin listener. Of a token itself there is only a hash; its id is a part of it and no secret.
CREATE TABLE token (
  id TEXT PRIMARY KEY CHECK (length(id) = 8),
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  role TEXT,
  scopes TEXT NOT NULL CHECK (json_valid(scopes)),
  agent INTEGER NOT NULL CHECK (agent IN (0, 1)),
  bot_id TEXT,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  last_used_at INTEGER,
  last_used_from TEXT,
  revoked_at INTEGER
) STRICT;
-- Calls that changed something or were refused. They hold no params except the ids of what they were about.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  principal TEXT NOT NULL,
  name TEXT,
  interface TEXT NOT NULL,
  address TEXT,
  method TEXT,
  ids TEXT NOT NULL CHECK (json_valid(ids)),
  outcome TEXT NOT NULL,
  code TEXT,
  count INTEGER NOT NULL CHECK (count > 0)
) STRICT;
CREATE INDEX audit_principal ON audit (principal, seq);
CREATE INDEX audit_method ON audit (method, seq);
-- The principal that caused an event (emitted it, fired its source) or a run (its event, or a replay). NULL: a delivery, the router
-- itself, or it is not known. What the control socket caused ('local') is not indexed: most of what is emitted is.
ALTER TABLE event ADD COLUMN requested_by TEXT;
ALTER TABLE outbox ADD COLUMN requested_by TEXT;
ALTER TABLE run_archive ADD COLUMN requested_by TEXT;
CREATE INDEX event_requested_by ON event (requested_by, seq) WHERE requested_by IS NOT NULL AND requested_by <> 'local';
CREATE INDEX outbox_requested_by ON outbox (requested_by, seq) WHERE requested_by IS NOT NULL AND requested_by <> 'local';
CREATE INDEX run_archive_requested_by ON run_archive (requested_by, seq) WHERE requested_by IS NOT NULL AND requested_by <> 'local';
