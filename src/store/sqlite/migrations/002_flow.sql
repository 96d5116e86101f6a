-- Queues, flow control, assignment and supervision.

CREATE TABLE queue (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL CHECK (version > 0), definition TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a bot says of itself, and whether people let it have new runs.
CREATE TABLE bot_status (
  bot_id TEXT PRIMARY KEY, availability TEXT, reason TEXT,
  drained INTEGER NOT NULL DEFAULT 0 CHECK (drained IN (0, 1)), drained_reason TEXT, updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- '' in the archive: the queue of the bot's own name, from before there were others.
ALTER TABLE outbox ADD COLUMN queue TEXT NOT NULL DEFAULT '';
-- What a run without a bot needs: bot_id is then '?' and this, so that all with one need stand together in the index.
ALTER TABLE outbox ADD COLUMN need TEXT;
ALTER TABLE outbox ADD COLUMN assignment TEXT;
ALTER TABLE outbox ADD COLUMN allowed_tools TEXT;
-- The gates of the run, keys rendered: flow.ts.
ALTER TABLE outbox ADD COLUMN flow TEXT;
-- The lane that it waits for: such a row is in no index of due rows.
ALTER TABLE outbox ADD COLUMN parked_on TEXT;
ALTER TABLE outbox ADD COLUMN held_by TEXT;
-- When the attempt is over at the latest, and the nearest of all its limits with that limit's name.
ALTER TABLE outbox ADD COLUMN timeout_at INTEGER;
ALTER TABLE outbox ADD COLUMN deadline_at INTEGER;
ALTER TABLE outbox ADD COLUMN deadline_name TEXT CHECK ((deadline_at IS NULL) = (deadline_name IS NULL));
ALTER TABLE outbox ADD COLUMN pause_requested INTEGER NOT NULL DEFAULT 0 CHECK (pause_requested IN (0, 1));
ALTER TABLE outbox ADD COLUMN approved INTEGER NOT NULL DEFAULT 0 CHECK (approved IN (0, 1));
ALTER TABLE outbox ADD COLUMN denials INTEGER NOT NULL DEFAULT 0;
UPDATE outbox SET queue = bot_id;

ALTER TABLE run_archive ADD COLUMN queue TEXT NOT NULL DEFAULT '';
ALTER TABLE run_archive ADD COLUMN need TEXT;
ALTER TABLE run_archive ADD COLUMN assignment TEXT;
ALTER TABLE run_archive ADD COLUMN allowed_tools TEXT;
ALTER TABLE run_archive ADD COLUMN flow TEXT;
ALTER TABLE run_archive ADD COLUMN parked_on TEXT;
ALTER TABLE run_archive ADD COLUMN held_by TEXT;
ALTER TABLE run_archive ADD COLUMN timeout_at INTEGER;
ALTER TABLE run_archive ADD COLUMN deadline_at INTEGER;
ALTER TABLE run_archive ADD COLUMN deadline_name TEXT;
ALTER TABLE run_archive ADD COLUMN pause_requested INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run_archive ADD COLUMN approved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run_archive ADD COLUMN denials INTEGER NOT NULL DEFAULT 0;

-- Priority that grows with waiting, a level a minute, is an order that does not change: due time less a minute a level.
DROP INDEX outbox_due;
DROP INDEX outbox_later;
CREATE INDEX outbox_due ON outbox (bot_id, queue, (not_before - priority * 60000), seq) WHERE state = 'pending' AND ready = 1 AND parked_on IS NULL;
CREATE INDEX outbox_later ON outbox (not_before) WHERE state = 'pending' AND ready = 0 AND parked_on IS NULL;
CREATE INDEX outbox_parked ON outbox (parked_on, bot_id, queue, (not_before - priority * 60000), seq) WHERE parked_on IS NOT NULL;
CREATE INDEX outbox_deadline ON outbox (deadline_at) WHERE deadline_at IS NOT NULL;
CREATE INDEX outbox_queue ON outbox (queue, seq);

-- The runs that share a limit: those of an order (the first goes), of a concurrency or singleton key (active ones count),
-- and those that still absorb events (debounce, batch).
CREATE TABLE run_lane (
  lane TEXT NOT NULL, run_seq INTEGER NOT NULL, active INTEGER NOT NULL DEFAULT 0 CHECK (active IN (0, 1)),
  PRIMARY KEY (lane, run_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_lane_active ON run_lane (lane) WHERE active = 1;
-- When a lane that is limited by time lets the next one pass.
CREATE TABLE lane_opening (lane TEXT PRIMARY KEY, opens_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX lane_opening_at ON lane_opening (opens_at);

-- The last so many passes of a key, as a ring: the slot that is written next holds the pass that the limit is counted from.
CREATE TABLE rate_ring (key TEXT NOT NULL, slot INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (key, slot)) STRICT, WITHOUT ROWID;
CREATE TABLE rate_key (key TEXT PRIMARY KEY, next INTEGER NOT NULL, keep_until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX rate_key_old ON rate_key (keep_until);

-- Lifecycle events that no trigger has been asked about yet.
CREATE TABLE unrouted (event_seq INTEGER PRIMARY KEY) STRICT;

-- A run that waits for another to end.
CREATE TABLE run_dependency (run_seq INTEGER NOT NULL, on_seq INTEGER NOT NULL, PRIMARY KEY (run_seq, on_seq)) STRICT, WITHOUT ROWID;
CREATE INDEX run_dependency_on ON run_dependency (on_seq);

-- The events of a batch, in the order in which they came; outbox.event_seq is the last of them.
CREATE TABLE run_event (run_seq INTEGER NOT NULL, event_seq INTEGER NOT NULL, PRIMARY KEY (run_seq, event_seq)) STRICT, WITHOUT ROWID;
CREATE INDEX run_event_event ON run_event (event_seq);
