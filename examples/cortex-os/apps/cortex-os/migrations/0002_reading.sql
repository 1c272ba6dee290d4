-- compatible
-- The two questions that are asked all the time: a tenant's newest tasks, and what waits to be sent.
CREATE INDEX tasks_newest ON tasks (tenant, created_at DESC);
CREATE INDEX outbox_waiting ON outbox (scope, position) WHERE sent_at IS NULL;
