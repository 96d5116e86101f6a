-- Who caused an event, and in which conversation. emitted: 1 for an event that was emitted into a webhook source; NULL for
-- one that was logged before these columns, whose actor and thread are in its body alone. NOCASE folds the letters that logins have.
ALTER TABLE event ADD COLUMN actor TEXT COLLATE NOCASE;
ALTER TABLE event ADD COLUMN thread TEXT;
ALTER TABLE event ADD COLUMN emitted INTEGER CHECK (emitted IN (0, 1));
CREATE INDEX event_actor ON event (actor, seq) WHERE actor IS NOT NULL;
CREATE INDEX event_thread ON event (thread, seq) WHERE thread IS NOT NULL;
