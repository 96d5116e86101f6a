-- Which set of files an object was applied from.
CREATE TABLE file_set (noun TEXT NOT NULL CHECK (noun IN ('source', 'trigger', 'bot', 'queue')), id TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (noun, id)) STRICT, WITHOUT ROWID;
CREATE INDEX file_set_name ON file_set (name);
