-- compatible
-- Tasks, and the outbox: what must reach the bus is written in the same transaction as the task it belongs to.
CREATE TABLE tasks (
  id uuid PRIMARY KEY,
  tenant text NOT NULL,
  kind text NOT NULL DEFAULT 'task',
  idempotency_key text NOT NULL,
  text text NOT NULL,
  plan jsonb,
  state text NOT NULL DEFAULT 'submitted',
  result jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  relayed_at timestamptz,
  UNIQUE (tenant, idempotency_key)
);

CREATE TABLE outbox (
  id uuid PRIMARY KEY,
  position bigint GENERATED ALWAYS AS IDENTITY,
  task_id uuid NOT NULL UNIQUE REFERENCES tasks (id) ON DELETE CASCADE,
  tenant text NOT NULL,
  scope text NOT NULL,
  body jsonb NOT NULL,
  traceparent text,
  sent_at timestamptz
);
