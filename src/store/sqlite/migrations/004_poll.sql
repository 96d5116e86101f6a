-- The items of polls that had their event, or were there at a first reading that makes none. key_hash is the SHA-256 of
-- the item's key; seen_at says when a reading held it last, to the day.
CREATE TABLE seen_item (
  source_id TEXT NOT NULL, key_hash BLOB NOT NULL CHECK (length(key_hash) = 32),
  event_id BLOB CHECK (length(event_id) = 16), seen_at INTEGER NOT NULL,
  PRIMARY KEY (source_id, key_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_item_at ON seen_item (seen_at);
