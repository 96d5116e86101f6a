-- What runs reported that they used. Costs are millionths of a dollar.

-- One row for a run that reported something: the totals of all its attempts, and in attempt_* what the attempt that runs
-- has reported so far (0 once it is over): its next report must not be smaller.
CREATE TABLE run_usage (
  run_seq INTEGER PRIMARY KEY,
  input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
  output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
  cost_micro_usd INTEGER NOT NULL CHECK (cost_micro_usd >= 0),
  attempt_input_tokens INTEGER NOT NULL CHECK (attempt_input_tokens BETWEEN 0 AND input_tokens),
  attempt_output_tokens INTEGER NOT NULL CHECK (attempt_output_tokens BETWEEN 0 AND output_tokens),
  attempt_cost_micro_usd INTEGER NOT NULL CHECK (attempt_cost_micro_usd BETWEEN 0 AND cost_micro_usd),
  -- Attempts that reported something, and whether the one that runs is among them.
  reports INTEGER NOT NULL CHECK (reports > 0),
  attempt_reported INTEGER NOT NULL CHECK (attempt_reported IN (0, 1))
) STRICT;

-- What was used when, by scope (trigger:ID, bot:ID, router): what budgets are checked against. It does not go with the runs, so
-- that a short retention does not give a budget back. at is the end of a second; of an hour ago and before the end of
-- a minute, of a day ago and before the end of an hour: a use counts until all of its row is out of the period.
CREATE TABLE spending (
  scope TEXT NOT NULL, at INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
  output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
  cost_micro_usd INTEGER NOT NULL CHECK (cost_micro_usd >= 0),
  PRIMARY KEY (scope, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX spending_at ON spending (at);
-- What is not yet put together into minutes, and into hours.
CREATE INDEX spending_seconds ON spending (at) WHERE at % 60000 <> 59999;
CREATE INDEX spending_minutes ON spending (at) WHERE at % 3600000 <> 3599999;

-- Leases that the router took from workers, with what their attempts had reported: a worker that reports later is refused, and what
-- it has used since is spent all the same.
CREATE TABLE lost_lease (
  lease_token TEXT PRIMARY KEY,
  trigger_id TEXT NOT NULL,
  bot_id TEXT NOT NULL,
  input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
  output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
  cost_micro_usd INTEGER NOT NULL CHECK (cost_micro_usd >= 0),
  reported INTEGER NOT NULL CHECK (reported IN (0, 1)),
  lost_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX lost_lease_at ON lost_lease (lost_at);
