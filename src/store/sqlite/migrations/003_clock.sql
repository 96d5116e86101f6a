-- What is remembered of sources between their events.

-- One row for each instant of a schedule that was decided, and never two events for one: the row is written in the
-- transaction of its event. Of ticks that were skipped one row stands for all in a row.
CREATE TABLE tick (
  source_id TEXT NOT NULL, scheduled_at INTEGER NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('fired', 'caught_up', 'skipped')),
  at INTEGER NOT NULL,
  event_id BLOB CHECK (length(event_id) = 16),
  last_scheduled_at INTEGER CHECK (last_scheduled_at >= scheduled_at), count INTEGER CHECK (count > 0), reason TEXT,
  PRIMARY KEY (source_id, scheduled_at),
  CHECK ((outcome = 'skipped') = (event_id IS NULL)),
  CHECK ((outcome = 'skipped') = (reason IS NOT NULL AND count IS NOT NULL AND last_scheduled_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX tick_at ON tick (at);

-- since: when the source was last enabled or its configuration changed; nothing of before is owed. state: as its kind has it.
CREATE TABLE source_state (source_id TEXT PRIMARY KEY, since INTEGER NOT NULL, state TEXT) STRICT, WITHOUT ROWID;
INSERT INTO source_state (source_id, since) SELECT id, updated_at FROM source;
