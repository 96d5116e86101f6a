-- One row for each attempt that printed something. total_bytes: everything that was printed, kept or not. added_bytes: of these, what
-- came without an offset of its producer. head_end: where the head, which is always kept, ends; NULL while it is being filled.
-- removed_bytes: what went because there was too much output in all. gone: its run was removed, and its parts follow in slices.
CREATE TABLE attempt_output (
  run_seq INTEGER NOT NULL, attempt INTEGER NOT NULL CHECK (attempt > 0),
  total_bytes INTEGER NOT NULL CHECK (total_bytes >= 0),
  added_bytes INTEGER NOT NULL CHECK (added_bytes >= 0),
  head_end INTEGER CHECK (head_end >= 0),
  kept_bytes INTEGER NOT NULL CHECK (kept_bytes >= 0),
  parts INTEGER NOT NULL CHECK (parts >= 0),
  removed_bytes INTEGER NOT NULL CHECK (removed_bytes >= 0),
  gone INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1)),
  PRIMARY KEY (run_seq, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_output_kept ON attempt_output (run_seq, attempt) WHERE parts > 0 AND gone = 0;
CREATE INDEX attempt_output_gone ON attempt_output (run_seq, attempt) WHERE gone = 1;
CREATE TABLE output_part (
  seq INTEGER PRIMARY KEY,
  run_seq INTEGER NOT NULL, attempt INTEGER NOT NULL, offset INTEGER NOT NULL CHECK (offset >= 0),
  at INTEGER NOT NULL,
  stream TEXT NOT NULL CHECK (stream IN ('stdout', 'stderr', 'log', 'answer')),
  split INTEGER NOT NULL CHECK (split IN (0, 1)),
  content BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX output_part_place ON output_part (run_seq, attempt, offset);
