-- What an attempt asked of its bot (JSON, without secrets and without the body). NULL: it asked nothing, or that is not kept.
ALTER TABLE attempt ADD COLUMN request TEXT;
