-- What run.progress said, beside the reason that people read. NULL: it said nothing of the kind.
ALTER TABLE run_history ADD COLUMN percent REAL CHECK (percent BETWEEN 0 AND 100);
ALTER TABLE run_history ADD COLUMN message TEXT;
