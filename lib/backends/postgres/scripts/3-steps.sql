-- What the steps are made of. All of these run under the locks of the buckets, which lock_keys takes.
--
-- Whose row locks may be waited for: acquire and the other steps of 4-… lock buckets first, in the order
-- of their numbers, then the namespace, and then rows of those keys. renew, heartbeat and sweep lock rows
-- without, and never wait for one, but renew at first for the namespace. A guard of a user's may be held for
-- long, and nobody waits for it: what it locks is kept.

CREATE FUNCTION "nestjs_lock".bucket_of(_key text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT hashtext(_key) & 255
$$;

-- What this step writes must survive a crash of the server, whatever the session's default is.
CREATE FUNCTION "nestjs_lock".be_durable() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'locks need READ COMMITTED, this transaction is %', current_setting('transaction_isolation')
      USING ERRCODE = 'active_sql_transaction';
  END IF;
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
END
$$;

-- Waits for its turn with these keys, until the end of the transaction. Returns the time then.
--
-- _life  how long a life (ms) leases are given in this step, at most
CREATE FUNCTION "nestjs_lock".lock_keys(_namespace text, _keys text[], _life integer) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
  _numbers integer[];
BEGIN
  PERFORM "nestjs_lock".be_durable();
  IF cardinality(_keys) > 1 THEN
    _numbers := ARRAY(SELECT DISTINCT "nestjs_lock".bucket_of(key) FROM unnest(_keys) AS key);
  END IF;
  LOOP
    IF _numbers IS NULL THEN
      PERFORM FROM "nestjs_lock".buckets
        WHERE namespace = _namespace AND number = "nestjs_lock".bucket_of(_keys[1])
        FOR NO KEY UPDATE;
    ELSE
      PERFORM FROM "nestjs_lock".buckets
        WHERE namespace = _namespace AND number = ANY (_numbers)
        ORDER BY number FOR NO KEY UPDATE;
    END IF;
    EXIT WHEN FOUND OR _keys[1] IS NULL;
    PERFORM "nestjs_lock".make_buckets(_namespace);
  END LOOP;
  PERFORM "nestjs_lock".remember(_namespace, _life);
  RETURN clock_timestamp();
END
$$;

-- All of them, or two who come first might wait for each other. If there were some before, they were lost in
-- a crash, and the leases with them: nothing is granted until the last of those must be over.
CREATE FUNCTION "nestjs_lock".make_buckets(_namespace text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  -- What a lease that was handed over may live, whatever its ttl, in milliseconds: see hand_off.
  CLAIM CONSTANT integer := 2000;
  _closed_until timestamptz := '-infinity';
BEGIN
  INSERT INTO "nestjs_lock".namespaces VALUES (_namespace, CLAIM) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    SELECT clock_timestamp() + "nestjs_lock".span(longest) INTO _closed_until
      FROM "nestjs_lock".namespaces WHERE namespace = _namespace;
  END IF;
  INSERT INTO "nestjs_lock".buckets
    SELECT _namespace, number, 0, _closed_until FROM generate_series(0, 255) AS number
    ON CONFLICT DO NOTHING;
END
$$;

-- Before a lease is given so long a life (ms). After the buckets are locked, and before any other row is.
CREATE FUNCTION "nestjs_lock".remember(_namespace text, _life integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF _life > 0 AND EXISTS (
    SELECT FROM "nestjs_lock".namespaces WHERE namespace = _namespace AND longest < _life)
  THEN
    UPDATE "nestjs_lock".namespaces SET longest = _life WHERE namespace = _namespace AND longest < _life;
  END IF;
END
$$;

-- Mints a fencing token: max(last + 1, the server's clock in microseconds). By the clock they keep rising
-- when a failover or a restore lost the bucket, by the bucket when the clock is set back. As many after it
-- are reserved as were asked for, or none while the bucket is ahead of the clock, which it must not outrun.
--
-- _after  a token that it is to be greater than as well
CREATE FUNCTION "nestjs_lock".mint(
  _namespace text, _key text, _now timestamptz, _wanted integer, _after bigint,
  OUT token bigint, OUT reserved integer
) LANGUAGE plpgsql AS $$
DECLARE
  _number integer := "nestjs_lock".bucket_of(_key);
BEGIN
  SELECT last INTO token FROM "nestjs_lock".buckets WHERE namespace = _namespace AND number = _number;
  reserved := CASE WHEN token < "nestjs_lock".micros(_now) THEN _wanted ELSE 0 END;
  token := greatest(token + 1, _after + 1, "nestjs_lock".micros(_now));
  UPDATE "nestjs_lock".buckets SET last = token + reserved WHERE namespace = _namespace AND number = _number;
END
$$;

-- Removes rows of leases whose time is over, but for those that a guard holds, or a renewal that came in time.
CREATE FUNCTION "nestjs_lock".drop_over(_namespace text, _key text, _now timestamptz) RETURNS void
LANGUAGE sql AS $$
  DELETE FROM "nestjs_lock".leases WHERE namespace = _namespace AND key = _key AND id = ANY (ARRAY(
    SELECT id FROM "nestjs_lock".leases
      WHERE namespace = _namespace AND key = _key AND ends <= _now
      FOR UPDATE SKIP LOCKED
  ))
$$;

-- Who holds a key: how many, with which limit, whether all of them read, and when the first of them ends.
-- While the bucket is closed, one whom nobody fits beside.
CREATE FUNCTION "nestjs_lock".holders_of(
  _namespace text, _key text, _now timestamptz,
  OUT holders bigint, OUT permits integer, OUT shared boolean, OUT first_end timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
  _closed_until timestamptz;
BEGIN
  FOR _look IN 1..2 LOOP
    SELECT count(*), min(lease.permits), coalesce(bool_and(lease.shared), false), min(lease.ends),
        (SELECT closed_until FROM "nestjs_lock".buckets
          WHERE namespace = _namespace AND number = "nestjs_lock".bucket_of(_key))
      INTO holders, permits, shared, first_end, _closed_until
      FROM "nestjs_lock".leases AS lease WHERE namespace = _namespace AND key = _key;
    IF _closed_until > _now THEN
      holders := 1;
      permits := 0;
      first_end := _closed_until;
      RETURN;
    END IF;
    EXIT WHEN first_end > _now OR holders = 0 OR _look = 2;
    PERFORM "nestjs_lock".drop_over(_namespace, _key, _now);
  END LOOP;
END
$$;

-- Whether one more can hold beside those who do.
CREATE FUNCTION "nestjs_lock".fits(
  _holders bigint, _permits integer, _shared boolean, _its_permits integer, _its_shared boolean
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT _holders = 0 OR _permits = _its_permits
    AND CASE WHEN _permits > 1 THEN _holders < _permits ELSE _shared AND _its_shared END
$$;

-- In how many milliseconds somebody may be let in who is not now, unless somebody leaves or renews. A lease
-- that is over and still there is held by a guard: then it is worth a look now and then.
CREATE FUNCTION "nestjs_lock".free_in(_first_end timestamptz, _now timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN _first_end IS NULL THEN 0
    WHEN _first_end <= _now THEN 250
    ELSE "nestjs_lock".ms_between(_now, _first_end)
  END
$$;

-- Ends a lease, whoever has it. A row that a guard holds stays, as one that is over.
CREATE FUNCTION "nestjs_lock".end_lease(_namespace text, _key text, _id text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  FOR _try IN 1..2 LOOP
    PERFORM FROM "nestjs_lock".leases
      WHERE namespace = _namespace AND key = _key AND id = _id FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
      DELETE FROM "nestjs_lock".leases WHERE namespace = _namespace AND key = _key AND id = _id;
      RETURN;
    END IF;
    -- A renewal is waited for, and a guard, which forbids no such update, is not.
    UPDATE "nestjs_lock".leases SET ends = '-infinity'
      WHERE namespace = _namespace AND key = _key AND id = _id;
  END LOOP;
END
$$;

-- Sends a process a message, once this transaction is committed.
CREATE FUNCTION "nestjs_lock".tell(_id text, _message jsonb) RETURNS void
LANGUAGE sql AS $$
  SELECT pg_notify("nestjs_lock".channel_of(split_part(_id, ':', 1)), _message::text)
$$;

-- Grants a key to those at the head of its queue that fit beside who holds it: `_present`, on whose behalf
-- this runs, by the reply; any other by a message to its process, with a short life until it renews, which
-- is what a waiter that died unseen costs the next one. Returns the token of `_present` if it was granted.
CREATE FUNCTION "nestjs_lock".hand_off(_namespace text, _key text, _now timestamptz, _present text)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  -- How long a lease that was handed over lives until its holder renews it, in milliseconds.
  CLAIM CONSTANT integer := 2000;
  -- How many tokens are reserved with it, for those of its process to whom it is handed over in turn.
  RESERVE CONSTANT integer := 16;
  _held record;
  _waiter "nestjs_lock".waiters;
  _minted record;
  _life integer;
  _token bigint;
BEGIN
  -- However many are dead, they go together: they cost one deadline, not a sum.
  DELETE FROM "nestjs_lock".waiters WHERE namespace = _namespace AND key = _key AND dies <= _now;
  LOOP
    SELECT * INTO _waiter FROM "nestjs_lock".waiters
      WHERE namespace = _namespace AND key = _key ORDER BY ticket LIMIT 1;
    EXIT WHEN NOT FOUND;
    _held := "nestjs_lock".holders_of(_namespace, _key, _now);
    EXIT WHEN NOT "nestjs_lock".fits(
      _held.holders, _held.permits, _held.shared, _waiter.permits, _waiter.shared);
    DELETE FROM "nestjs_lock".waiters WHERE namespace = _namespace AND key = _key AND id = _waiter.id;
    _minted := "nestjs_lock".mint(_namespace, _key, _now, CASE
      WHEN _waiter.id = _present OR _waiter.shared OR _waiter.permits > 1 THEN 0 ELSE RESERVE END, 0);
    -- Who does not listen finds it by looking, for which there must be time.
    _life := CASE
      WHEN _waiter.id = _present THEN _waiter.ttl
      WHEN _waiter.listens THEN least(_waiter.ttl, CLAIM)
      ELSE CLAIM
    END;
    INSERT INTO "nestjs_lock".leases (namespace, key, id, token, shared, permits, granted, ends) VALUES (
      _namespace, _key, _waiter.id, _minted.token, _waiter.shared, _waiter.permits,
      _now, _now + "nestjs_lock".span(_life));
    IF _waiter.id = _present THEN
      _token := _minted.token;
    ELSIF _waiter.listens THEN
      PERFORM "nestjs_lock".tell(_waiter.id, jsonb_build_array(
        'granted', _waiter.id, "nestjs_lock".server(), "nestjs_lock".millis(_now),
        _minted.token, _life, _minted.reserved));
    END IF;
  END LOOP;
  RETURN _token;
END
$$;
