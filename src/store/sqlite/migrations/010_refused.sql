-- Refused deliveries to the webhook intake: at most 1,000 rows, each for deliveries that were refused for the same reason. Nothing
-- of a body or a header is here. source_id is that of the webhook source that the path names; path is given where the path names no source.
CREATE TABLE refused_delivery (
  seq INTEGER PRIMARY KEY,
  source_id TEXT,
  path TEXT CHECK (length(CAST(path AS BLOB)) <= 200),
  reason TEXT NOT NULL,
  status INTEGER,
  address TEXT,
  bytes INTEGER CHECK (bytes >= 0),
  first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL CHECK (last_at >= first_at),
  count INTEGER NOT NULL CHECK (count > 0),
  CHECK (source_id IS NULL OR path IS NULL)
) STRICT;
