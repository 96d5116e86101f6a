-- Files that go with an event.
CREATE TABLE context_file (
  event_seq INTEGER NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL, is_text INTEGER NOT NULL CHECK (is_text IN (0, 1)),
  bytes INTEGER NOT NULL, sha256 BLOB NOT NULL CHECK (length(sha256) = 32), content BLOB NOT NULL,
  UNIQUE (event_seq, position)
) STRICT;
