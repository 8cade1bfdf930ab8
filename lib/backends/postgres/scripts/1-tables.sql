-- The tables. Times are those of the server's clock, in the moment of the step that writes them.
--
-- What is known of a namespace for good, also where buckets and leases are not logged, and are gone after a
-- crash: that it was there, and the longest that any of its leases may live, in milliseconds.
CREATE TABLE "nestjs_lock".namespaces (
  namespace text COLLATE "C" PRIMARY KEY,
  longest integer NOT NULL
);

-- A row of buckets is the lock under which all steps of its keys follow each other, and what is left of
-- a key when all is quiet: the last fencing token of its bucket. A namespace has 256 of them, or none yet.
CREATE TABLE "nestjs_lock".buckets (
  namespace text COLLATE "C" NOT NULL,
  number integer NOT NULL,
  last bigint NOT NULL,
  -- Until then nothing is granted: what is not known any more may be held.
  closed_until timestamptz NOT NULL,
  PRIMARY KEY (namespace, number)
) WITH (fillfactor = 20);

-- Who holds a key. A lease is over when its row is gone or its time is; nobody is let in before the row
-- is gone, so that a transaction of a user's which locks the row holds that off (see guard.sql).
CREATE TABLE "nestjs_lock".leases (
  namespace text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  -- Of its request: '<process>:<number>'.
  id text COLLATE "C" NOT NULL,
  -- The fencing token.
  token bigint NOT NULL,
  shared boolean NOT NULL,
  -- How many may hold the key at once; of readers, who are not counted, it is 1.
  permits integer NOT NULL,
  granted timestamptz NOT NULL,
  ends timestamptz NOT NULL,
  -- Given back, and only kept until its end so that nobody is let in before.
  kept boolean NOT NULL DEFAULT false,
  -- Until when the holder is asked to stop, and why.
  revoked_until timestamptz,
  revoked_for text,
  PRIMARY KEY (namespace, key, id)
) WITH (
  -- Room for renewals beside the row that they replace, so that no index is written.
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 2000
);

-- Who waits for a key. Not logged: after a crash those who still wait ask again.
CREATE UNLOGGED TABLE "nestjs_lock".waiters (
  namespace text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  -- The server's clock (µs) when it came, or more, so that the order is that of arrival.
  ticket bigint NOT NULL,
  shared boolean NOT NULL,
  permits integer NOT NULL,
  -- What it asked for, in milliseconds.
  ttl integer NOT NULL,
  -- Whether its process listens.
  listens boolean NOT NULL,
  -- When it counts as dead, unless it gives a sign of life.
  dies timestamptz NOT NULL,
  PRIMARY KEY (namespace, key, id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE UNIQUE INDEX waiters_in_turn ON "nestjs_lock".waiters (namespace, key, ticket);

-- When somebody is to look for what was left behind.
CREATE TABLE "nestjs_lock".sweeps (due timestamptz NOT NULL) WITH (fillfactor = 20);
INSERT INTO "nestjs_lock".sweeps VALUES (now());

-- The version of all this, and the oldest one whose clients it still serves.
CREATE TABLE "nestjs_lock".version (version integer NOT NULL, serves integer NOT NULL);
